package dcb

import "context"

// Store keeps events in one sequence. Any number of goroutines may call its methods at once, and any number of
// stores (in other processes, where the kind of store allows it) may share the same events.
//
// Ownership: a store keeps no reference to what it is given once a call returned, and what it returns is the caller's.
//
// Failure: a call that returns an error has changed nothing, except for an append whose outcome is unknown: one whose
// context ended while it was under way, or whose error is an [*UnavailableError] with OutcomeUnknown. Such an append is
// recorded as a whole or not at all, and if its events have IDs it can simply be sent again.
//
// Growth: the interface keeps these four methods. What a store can do beyond them, or better than the helpers of this
// package, it offers by an optional interface ([Streamer], [Follower], [Pager]) that a helper looks for.
//
// The concrete stores also have Close. After it every call fails with [ErrClosed].
type Store interface {
	// Read returns the events that q selects, in the order of their positions, each once. The result shows one moment:
	// every selected event up to its Head, within the bounds of opts, and none recorded later. It is never blocked by an
	// append. Errors: ErrInvalidQuery, ErrInvalid, ErrClosed, ErrUnavailable, ErrCorrupt, the context's.
	Read(ctx context.Context, q Query, opts ReadOptions) (ReadResult, error)

	// Append records events at consecutive positions as one atomic step, and returns the position of the last. Once
	// it returned they are as durable as the store keeps anything.
	//
	// If condition is not nil and an event after condition.After matches it, nothing is recorded and the error is a
	// [*ConflictError]. The events of the call itself are not considered. Checking and recording are one step,
	// whoever else appends, and from whatever process. Appends that do not concern each other never make one another fail.
	//
	// If every event has an ID and exactly these events, in this order, are recorded at consecutive positions already, that
	// position is returned and nothing is recorded, whatever the condition says: so an append whose answer was lost can
	// be sent again. If any of the IDs is recorded in any other way the error is ErrDuplicateID.
	//
	// Positions become visible in order: who has seen position n will never find anything new below n.
	//
	// Errors: ErrInvalid and its kinds, ErrConflict, ErrDuplicateID, ErrClosed, ErrUnavailable, ErrCorrupt, the context's.
	Append(ctx context.Context, events []Event, condition *AppendCondition) (Position, error)

	// Head returns the position of the last event recorded, 0 if there is none.
	Head(ctx context.Context) (Position, error)

	// Wait returns the head as soon as it is greater than after; at once if it is already. It ends early with the
	// context's error, or with ErrClosed when the store is closed.
	Wait(ctx context.Context, after Position) (Position, error)
}

// AppendCondition makes an append fail if an event was recorded that the decision behind it has not seen.
type AppendCondition struct {
	// FailIfEventsMatch selects the events that matter: usually the very query that was read.
	FailIfEventsMatch Query
	// After is the last position that the caller knows of, usually [ReadResult.Head]. Events at or before it are ignored; 0
	// ignores none. It may be beyond the head, which ignores everything recorded so far.
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
