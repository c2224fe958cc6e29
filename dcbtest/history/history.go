// Package history records what concurrent callers of a store see and checks it against the contract of
// package dcb. A [Workload] makes random calls and records them in a [History]; [History.Check] reports
// every violation.
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

// History is what callers of a store did, what they saw, and what the store held in the end. It is data: [Workload.Run] records one,
// anybody else may, and [History.Check] judges it without a store.
//
// Whoever records one gives every event data that no other event of the history has, by which the event is found again in
// Final. Only sending the very same append again repeats it.
type History struct {
	// Seed is what the callers' choices came from.
	Seed uint64
	// Before is the head when the history began. Events at and below it are not judged, but may be read and conflict.
	Before dcb.Position
	// MayFail says that the store was disturbed on purpose (a server killed under load): calls may then end with
	// dcb.ErrUnavailable. Nothing else becomes allowed.
	MayFail bool
	// Operations are the calls, in any order.
	Operations []Operation
	// Final is the whole sequence, read after the last operation; see [History.ReadFinal].
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
	// Follow is one batch of a follower: from the moment when the batch was asked for until it came.
	Follow Method = "Follow"
)

// Operation is one call: what was asked, what came back, and between which moments. Start and End come from one monotonic clock, so
// what ended before another began happened before it.
type Operation struct {
	Method Method
	Caller int // who called
	Handle int // through which of the stores
	Start  time.Duration
	End    time.Duration

	Events    []dcb.Event          // Append: as sent
	Condition *dcb.AppendCondition // Append
	Query     dcb.Query            // Read, Follow
	Options   dcb.ReadOptions      // Read
	After     dcb.Position         // Wait; Follow: the Head of the batch before, or where the follower began

	Position dcb.Position   // what Append, Head and Wait returned
	Result   dcb.ReadResult // what Read and Follow returned
	Err      error
	// Cancelled says that the call's context had ended when it returned.
	Cancelled bool
	// Hung says that the call did not return while it should have, however long the caller waited.
	Hung bool
}

// ReadFinal reads the final sequence through store. Every operation must be over; a store that was disturbed has recovered.
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

// outcome is what the caller of an append knows about it.
type outcome int

const (
	accepted outcome = iota // recorded, at the position returned
	refused                 // not recorded by this call
	unknown                 // as a whole or not at all, and nobody can say when
)

func (o *Operation) outcome() outcome {
	var unavailable *dcb.UnavailableError
	switch {
	case o.Hung:
		return unknown
	case o.Err == nil:
		return accepted
	case errors.As(o.Err, &unavailable) && !unavailable.OutcomeUnknown:
		return refused
	case unavailable != nil || isContextError(o.Err):
		return unknown
	}
	return refused
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// String tells the operation in one line: who, what, when, and what came of it.
func (o *Operation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "caller %d on handle %d, %v to %v: ", o.Caller, o.Handle, o.Start, o.End)
	switch o.Method {
	case Append:
		fmt.Fprintf(&b, "Append(%s", sentEvents(o.Events))
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
		fmt.Fprintf(&b, "%d events, head %d", len(o.Result.Events), o.Result.Head)
	default:
		fmt.Fprintf(&b, "%d", o.Position)
	}
	return b.String()
}

func sentEvents(events []dcb.Event) string {
	if len(events) == 0 {
		return "nothing"
	}
	if len(events) == 1 {
		return fmt.Sprintf("%q", events[0].Data)
	}
	return fmt.Sprintf("%d events from %q on", len(events), events[0].Data)
}

// Verify reads the final sequence through store, checks the history, and returns all that is wrong as one error, with the seed.
func (h *History) Verify(ctx context.Context, store dcb.Store) error {
	if err := h.ReadFinal(ctx, store); err != nil {
		return err
	}
	violations := h.Check()
	if len(violations) == 0 {
		return nil
	}
	told := make([]error, 0, len(violations)+1)
	told = append(told, fmt.Errorf("history: this history is not that of a correct store (%s=%d chooses the same calls again)", SeedVariable, h.Seed))
	for _, v := range violations {
		told = append(told, errors.New(v.String()))
	}
	return errors.Join(told...)
}
