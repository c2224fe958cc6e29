package dcb

import "context"

// Store is one sequence of events.
//
// Several goroutines may call the methods of a store at once. Several stores, also in other
// processes, may share the same events, where the kind of store allows it. Appends never block
// reads, and reads never block appends.
//
// A store keeps no reference to its arguments after a call returns, and does not change them. What
// it returns belongs to the caller.
//
// A context ends the call that it was passed to, and no other call. The call then returns the
// context's error.
//
// A call that fails has changed nothing, unless it is an append whose outcome is unknown. The
// outcome is unknown if the context ended while the append was under way, or if the error is an
// [*UnavailableError] with OutcomeUnknown. The append is then recorded as a whole or not at all,
// and the caller cannot know which. The store stays consistent, and no other append is affected.
// If all events of the append have IDs, the caller sends it again.
//
// The interface will not grow. A store that does something better than the helpers of this package
// implements an optional interface that the helper looks for: [Streamer], [Follower], [Pager].
//
// The concrete stores also have Close. It ends waiting calls with [ErrClosed]; every later call
// fails with ErrClosed. A second Close returns nil.
type Store interface {
	// Read returns the events that match q. They come in position order, descending if
	// opts.Backwards is set. Each event comes once, even if several items of q match it.
	//
	// One read sees one prefix of the sequence: every matching event up to the store's head at that
	// moment, within the bounds of opts, and none after it.
	//
	// Errors: ErrInvalidQuery, ErrInvalid, ErrClosed, ErrUnavailable, ErrCorrupt, ctx.Err().
	Read(ctx context.Context, q Query, opts ReadOptions) (ReadResult, error)

	// Append records events and returns the position of the last one. One call is one atomic step:
	// its events get consecutive positions, or none is recorded. No event of another call comes
	// between them. An append that returned without an error is durable, as far as the kind of store
	// is: on the disk, in PostgreSQL, or on the server.
	//
	// If condition is not nil and an event after condition.After matches
	// condition.FailIfEventsMatch, the error is a [*ConflictError] and nothing is recorded. Checking
	// the condition and recording the events are one indivisible step, also against appends of other
	// processes. The events of the call itself are not checked against its condition. Appends that
	// concern different things never conflict and never abort each other.
	//
	// Positions become visible in order. After a reader has seen position n, no new event appears at
	// or below n. This holds for unconditional appends and backward reads too.
	//
	// An append can be retried if every event has an ID. If exactly these events are already recorded
	// in this order at consecutive positions, Append returns their position and records nothing.
	// "Exactly" is [Event.Same]. The store checks IDs before the condition, so the condition cannot
	// fail such a retry, whatever its After. If any of the IDs is recorded in another way, or occurs
	// twice in one call, the error is ErrDuplicateID.
	//
	// Errors: ErrNoEvents, ErrInvalidQuery, ErrInvalid, ErrConflict, ErrDuplicateID, ErrClosed,
	// ErrUnavailable, ErrCorrupt, ctx.Err().
	Append(ctx context.Context, events []Event, condition *AppendCondition) (Position, error)

	// Head returns the position of the last event, or 0 if there is none. It is never lower than the
	// result of an append that returned before.
	//
	// Errors: ErrClosed, ErrUnavailable, ErrCorrupt, ctx.Err().
	Head(ctx context.Context) (Position, error)

	// Wait returns the head as soon as it is greater than after, also if after is beyond the head at
	// the time of the call. It is the only primitive that following needs.
	//
	// Errors: as for Head. Close ends Wait with ErrClosed.
	Wait(ctx context.Context, after Position) (Position, error)
}

// AppendCondition makes an append fail if an event was recorded that the decision did not see.
type AppendCondition struct {
	// FailIfEventsMatch selects the events that the decision depends on. It is usually the query that
	// was read.
	FailIfEventsMatch Query
	// After is the last position that the decision has seen, usually [ReadResult.Head]. Events at or
	// before After are ignored; 0 ignores none. After beyond the head is legal; it ignores everything
	// recorded.
	After Position
}

// ReadOptions bound a read. The zero value reads everything, oldest first.
type ReadOptions struct {
	// After excludes the events at or before this position. Default 0: from the first event.
	After Position
	// Before excludes the events at or after this position. Default 0: no bound.
	Before Position
	// Limit is the maximum number of events to return. A negative limit is invalid. Default 0: no
	// limit.
	Limit int
	// Backwards returns the newest events first. With Limit, it returns only the newest.
	Backwards bool
}

// Top returns the highest position within Before on a store whose last position is head: head, or
// Before - 1 if Before is set and that is less. It is the Head of a read that returns everything
// within its bounds.
func (o ReadOptions) Top(head Position) Position {
	if o.Before > 0 {
		return min(head, o.Before-1)
	}
	return head
}

// ReadResult is the result of one read.
type ReadResult struct {
	// Events belong to the caller: changing them changes nothing in the store.
	Events []SequencedEvent

	// Head is the position up to which the result is complete. It is what a condition may use as
	// [AppendCondition.After]. Let top be [ReadOptions.Top] of the store's last position at the
	// moment of the read. Head is
	//
	//   - top, for a forward read with More false, even if the last matching event is older or
	//     nothing matched;
	//   - the position of the last event returned, for a forward read with More true;
	//   - top, for a backward read. If More is true, the events left out are older than those
	//     returned.
	//
	// So a forward reader that always continues with After: Head sees every event once and never
	// reads the same range twice. The Head of an empty store is 0.
	Head Position

	// More is true if Limit, or a byte bound, left out at least one matching event within After
	// and Before. A read that returns exactly Limit events and leaves none out has More false.
	More bool
}
