package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
)

// Recorder makes calls and records them. Several goroutines may use it at once.
//
// [Workload] uses it for random calls. A test uses it directly for calls of its own:
//
//	r, err := history.NewRecorder(ctx, handles, 0)
//	… in several goroutines:
//	r.Do(ctx, history.Operation{Method: history.Append, Caller: 1, Events: events})
//	… and when all are done:
//	err = r.History().Verify(ctx, store)
type Recorder struct {
	handles     []dcb.Store
	hangTimeout time.Duration
	began       time.Time
	before      dcb.Position

	mu         sync.Mutex // guards the fields below
	operations []Operation
	highest    dcb.Position // of all positions that a call returned
}

const defaultHangTimeout = time.Minute

// NewRecorder returns a recorder for handles, which are one store, or several stores on the same
// events. It reads the head of the first one, so no append may be under way. A call that takes
// longer than hangTimeout counts as hung; 0 means one minute.
func NewRecorder(ctx context.Context, handles []dcb.Store, hangTimeout time.Duration) (*Recorder, error) {
	if len(handles) == 0 {
		return nil, errors.New("history: new recorder: there are no handles; give it at least one store")
	}
	before, err := handles[0].Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("history: new recorder: read the head: %w", err)
	}
	r := &Recorder{handles: handles, hangTimeout: hangTimeout, began: time.Now(), before: before}
	if r.hangTimeout <= 0 {
		r.hangTimeout = defaultHangTimeout
	}
	return r, nil
}

// Do makes one call, which call describes by its Method, Caller, Handle and arguments. It records
// the call and returns it with its result. Batches are recorded by [Recorder.Follow].
//
// A call that does not return in time is recorded as hung. Its goroutine stays until the call
// returns.
func (r *Recorder) Do(ctx context.Context, call Operation) Operation {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o := call
	o.Start = r.now()
	returned := make(chan Operation, 1)
	go func() { returned <- r.do(ctx, call) }()
	timeout := time.NewTimer(r.hangTimeout)
	defer timeout.Stop()
	select {
	case o = <-returned:
	case <-timeout.C:
		o.Hung, o.End = true, r.now()
	}
	r.record(o)
	return o
}

func (r *Recorder) do(ctx context.Context, o Operation) Operation {
	store := r.handles[o.Handle]
	o.Start = r.now()
	switch o.Method {
	case Append:
		o.Position, o.Err = store.Append(ctx, o.Events, o.Condition)
	case Read:
		o.Result, o.Err = store.Read(ctx, o.Query, o.Options)
	case Head:
		o.Position, o.Err = store.Head(ctx)
	case Wait:
		o.Position, o.Err = store.Wait(ctx, o.After)
	case Follow:
		panic("history: Recorder.Do cannot follow; use Recorder.Follow")
	}
	o.End = r.now()
	o.Cancelled = ctx.Err() != nil
	return o
}

// Follow is [dcb.Follow] with the Handle, the Query and the After of call. It records every batch.
// The consumer detects a batch that does not come.
func (r *Recorder) Follow(ctx context.Context, call Operation) iter.Seq2[dcb.ReadResult, error] {
	return func(yield func(dcb.ReadResult, error) bool) {
		call.Method, call.Start = Follow, r.now()
		for batch, err := range dcb.Follow(ctx, r.handles[call.Handle], call.Query, call.After) {
			o := call
			o.Result, o.Err, o.End, o.Cancelled = batch, err, r.now(), ctx.Err() != nil
			r.record(o)
			if !yield(batch, err) {
				return
			}
			call.After, call.Start = max(call.After, batch.Head), r.now()
		}
	}
}

// History returns the calls recorded so far, in the order in which they began. Final is empty.
func (r *Recorder) History() *History {
	r.mu.Lock()
	defer r.mu.Unlock()
	operations := slices.Clone(r.operations)
	slices.SortStableFunc(operations, func(a, b Operation) int { return cmp.Compare(a.Start, b.Start) })
	return &History{Before: r.before, Operations: operations}
}

// now returns the time since the recorder was made.
func (r *Recorder) now() time.Duration { return time.Since(r.began) }

func (r *Recorder) record(o Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operations = append(r.operations, o)
	if o.succeeded() {
		r.highest = max(r.highest, o.Position, o.Result.Head)
	}
}

// highestReturned returns the highest position that any call returned so far.
func (r *Recorder) highestReturned() dcb.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.highest
}
