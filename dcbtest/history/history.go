package history

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// History is what the callers of a store did and saw, and what the store held in the end. It is
// plain data: [History.Check] needs no store.
//
// Every event that an append sends must have data that no other event of the history has. Check
// finds the event in Final by its data. Only a retry, which sends the same events again, repeats
// it.
type History struct {
	// Seed is the seed of the workload's choices. It is 0 for a history of a [Recorder].
	Seed uint64
	// Before is the head at the start. Check does not check the events at and below it, but calls
	// may read them and conflict with them.
	Before dcb.Position
	// MayFail allows calls to end with dcb.ErrUnavailable, because the test disturbed the store: it
	// killed a server, for example. It allows nothing else.
	MayFail bool
	// Operations are the calls, in any order.
	Operations []Operation
	// Final is the whole sequence, read after the last call returned. See [History.ReadFinal].
	Final []dcb.SequencedEvent
}

// Method is the method of a store that an operation calls.
type Method string

// The methods that operations call.
const (
	Append Method = "Append"
	Read   Method = "Read"
	Head   Method = "Head"
	Wait   Method = "Wait"
	// Follow is one batch of a follower, from the moment when the follower asked for it.
	Follow Method = "Follow"
)

// Operation is one call: its arguments, its result, and when it began and ended.
//
// Start and End are read from one monotonic clock, before and after the call. A call that ended
// before another began happened before it.
type Operation struct {
	Method Method
	Caller int // the number of the caller, for reports
	Handle int // the index of the handle
	Start  time.Duration
	End    time.Duration

	Events    []dcb.Event          // Append
	Condition *dcb.AppendCondition // Append; may be nil
	Query     dcb.Query            // Read and Follow
	Options   dcb.ReadOptions      // Read
	After     dcb.Position         // Wait; for Follow the Head of the previous batch, or the start

	Position  dcb.Position   // the result of Append, Head and Wait
	Result    dcb.ReadResult // the result of Read and Follow
	Err       error
	Cancelled bool // the call's context had ended when the call returned
	Hung      bool // the call did not return in time; nothing is known about its result
}

// Verify reads the final sequence from store and checks the history. The error has all violations
// and the seed.
func (h *History) Verify(ctx context.Context, store dcb.Store) error {
	if err := h.ReadFinal(ctx, store); err != nil {
		return err
	}
	violations := h.Check()
	if len(violations) == 0 {
		return nil
	}
	errs := []error{fmt.Errorf(
		"history: verify: a correct store cannot have this history (%s=%d repeats the choices)", SeedVariable, h.Seed)}
	for _, v := range violations {
		errs = append(errs, errors.New(v.String()))
	}
	return errors.Join(errs...)
}

// ReadFinal sets Final to the whole sequence of store. Call it after every call has returned and,
// if the store was disturbed, after it has recovered.
func (h *History) ReadFinal(ctx context.Context, store dcb.Store) error {
	h.Final = nil
	for event, err := range dcb.Stream(ctx, store, dcb.All(), dcb.ReadOptions{}) {
		if err != nil {
			return fmt.Errorf("history: read the final sequence: %w", err)
		}
		h.Final = append(h.Final, event)
	}
	return nil
}

// outcome is what the caller of an append knows about it afterwards.
type outcome int

const (
	acknowledged outcome = iota // recorded, at the position returned
	rejected                    // not recorded by this call
	unknown                     // recorded as a whole or not at all, at any time after its start
)

func (o *Operation) outcome() outcome {
	if o.Hung {
		return unknown
	}
	if o.Err == nil {
		return acknowledged
	}
	unavailable, ok := errors.AsType[*dcb.UnavailableError](o.Err)
	if ok && unavailable.OutcomeUnknown || !ok && isContextError(o.Err) {
		return unknown
	}
	return rejected
}

// succeeded reports whether the call returned a result.
func (o *Operation) succeeded() bool { return o.Err == nil && !o.Hung }

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// String returns the caller, the time, the arguments and the result in one line.
func (o *Operation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "caller %d on handle %d, %v to %v: ", o.Caller, o.Handle, o.Start, o.End)
	switch o.Method {
	case Append:
		fmt.Fprintf(&b, "Append(%s", describeEvents(o.Events))
		if o.Condition != nil {
			fmt.Fprintf(&b, "; %s", describe.Condition(o.Condition))
		}
	case Read:
		fmt.Fprintf(&b, "Read(%s, %+v", describe.Query(o.Query), o.Options)
	case Follow:
		fmt.Fprintf(&b, "Follow(%s, after %d", describe.Query(o.Query), o.After)
	case Wait:
		fmt.Fprintf(&b, "Wait(%d", o.After)
	case Head:
		b.WriteString("Head(")
	}
	b.WriteString(") = ")
	switch {
	case o.Hung:
		b.WriteString("never returned")
	case o.Err != nil:
		fmt.Fprintf(&b, "error %q", o.Err)
	case o.Method == Read || o.Method == Follow:
		fmt.Fprintf(&b, "%d events, Head %d, More %t", len(o.Result.Events), o.Result.Head, o.Result.More)
	default:
		fmt.Fprintf(&b, "%d", o.Position)
	}
	return b.String()
}

// describeEvents names the events of an append by the data of the first one.
func describeEvents(events []dcb.Event) string {
	switch len(events) {
	case 0:
		return "no events"
	case 1:
		return fmt.Sprintf("%q", events[0].Data)
	}
	return fmt.Sprintf("%d events, the first %q", len(events), events[0].Data)
}
