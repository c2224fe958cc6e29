// Package decide is the layer that an application writes its rules in. Below it, events are bytes and tags; here they are Go types. A
// [Projection] folds the events that one rule is about into a state; a decision looks at some projections and says what happens then; and
// the boundary that guards it is made of what it looked at, so that the two can never drift apart.
//
//	var events = decide.NewCodec(
//		decide.Type[CourseDefined]("CourseDefined"),
//		decide.Type[StudentSubscribed]("StudentSubscribed"),
//	)
//
//	func capacity(course string) *decide.Projection[int] {
//		return decide.NewProjection(0,
//			decide.On(func(_ int, e CourseDefined) int { return e.Capacity }),
//		).Tagged("course", course)
//	}
//
//	capacity, taken := capacity(course), seatsTaken(course)
//	_, err := runner.Do(ctx, func() ([]any, error) {
//		if taken.State() >= capacity.State() {
//			return nil, ErrFullyBooked
//		}
//		return decide.Events(StudentSubscribed{student, course}), nil
//	}, capacity, taken)
//
// # How a decision keeps its promise
//
// The query of a decision is the union of its projections' queries. It is read at one head: every projection has then seen everything that it
// selects up to there, and nothing beyond. The events that follow are appended on the condition that nothing which the union
// selects was recorded after that head. If something was, only that is read and folded in, and the decision is made again.
//
// What a projection has seen is therefore never wrong, only older, and projections may be kept ([Cached]) without anything having to be told
// when they change.
//
// It works on any dcb.Store. Start reading at [Runner.Do], then boundary.go, projection.go and codec.go. Whole programs are in
// the folder examples, and docs/decisions.md says why it is shaped so.
package decide

import (
	"context"
	"errors"
	"fmt"

	"github.com/dcbstore/dcb"
)

// Options for New. The zero value has the defaults.
type Options struct {
	// Attempts bounds how often a decision is made again because of conflicts. Each conflict means that somebody else got on, so this is
	// about fairness and not about deadlock. Default 100.
	Attempts int
	// Metadata returns what every event of a decision carries besides its data: correlation, causation, user, trace, as found in the
	// context. It is called once for each append, and may be called by many goroutines. The key [VersionKey] is not its
	// own. Default nil: none.
	Metadata func(ctx context.Context) map[string]string
}

// Runner makes decisions on one store. Any number of goroutines may use it. A program makes one for each store and keeps it: what
// [Cached] keeps, it keeps for the runner that read it.
type Runner struct {
	store    dcb.Store
	codec    *Codec
	attempts int
	metadata func(ctx context.Context) map[string]string
	lanes    lanes
}

// New returns a runner on store, whose events codec knows. Options may be nil. It panics without a store or codec.
func New(store dcb.Store, codec *Codec, opts *Options) *Runner {
	if store == nil || codec == nil {
		panic("decide: new: a runner needs a store and a codec; one of them is nil")
	}
	d := &Runner{store: store, codec: codec, attempts: 100}
	if opts != nil {
		d.metadata = opts.Metadata
		if opts.Attempts > 0 {
			d.attempts = opts.Attempts
		}
	}
	return d
}

// Events returns its arguments: what a decision says that happens.
func Events(events ...any) []any { return events }

// Do makes a decision. The function may run several times: once for each attempt, whenever somebody else recorded
// something that the projections look at. So it must do nothing but look at them and say what happens; and what it leaves in variables is
// that of the last run.
//
// The projections are brought to the head of the store first. Then the function returns events, which are recorded, all or none, on the
// condition that nothing which the projections look at was recorded in between; Do returns the position of the last. Or it
// returns an error, which comes back unchanged, and nothing is recorded. Or neither: then nothing is recorded either, and the
// position is the head that was looked at.
//
// Attempts are spaced, and bounded by Options.Attempts and the context; callers of one runner that lose about the same thing take
// turns. The error is then the last conflict (dcb.ErrConflict, *dcb.ConflictError). An append whose answer was lost is sent again with the
// same event IDs, so nothing is recorded twice; if it remains unknown whether it was recorded, the error is the
// *dcb.UnavailableError that says so, or the context's. To send the command again after that is safe if it has a key: see [IdempotencyKey].
//
// At least one projection is needed. To record what depends on nothing there is [Runner.Record].
func (d *Runner) Do(ctx context.Context, decide func() ([]any, error), projections ...AnyProjection) (dcb.Position, error) {
	if decide == nil {
		return 0, errors.New("decide: do: there is no function that decides")
	}
	b := boundary{runner: d}
	defer b.release()
	if err := b.take(projections); err != nil {
		return 0, fmt.Errorf("decide: do: %w", err)
	}
	if name, found := d.lanes.find(b.projections); found {
		b.queue(ctx, name)
	}
	var conflict error // of the last attempt
	for attempt := 1; ; attempt++ {
		if err := b.look(ctx); err != nil {
			if conflict != nil && ctx.Err() != nil {
				err = endedAfter(attempt-1, err, conflict)
			}
			return 0, fmt.Errorf("decide: do: %w", err)
		}
		if position := b.answered(); position > 0 {
			return position, nil
		}
		events, err := decide()
		if err != nil {
			return 0, err
		}
		if err := b.changed(); err != nil {
			return 0, fmt.Errorf("decide: do: %w", err)
		}
		if len(events) == 0 {
			return b.head, nil
		}
		position, err := d.append(ctx, events, b.key(), b.condition())
		if err == nil {
			return position, nil
		}
		if errors.Is(err, dcb.ErrConflict) {
			conflict = err
			err = b.again(ctx, attempt, conflict)
		}
		if err != nil {
			return 0, fmt.Errorf("decide: do: %w", err)
		}
	}
}

// Read brings the projections to the head of the store, all to the same, and returns it: to look without deciding anything, or to decide
// elsewhere and [Runner.Append] later.
func (d *Runner) Read(ctx context.Context, projections ...AnyProjection) (dcb.Position, error) {
	b := boundary{runner: d}
	defer b.release()
	if err := b.take(projections); err != nil {
		return 0, fmt.Errorf("decide: read: %w", err)
	}
	if err := b.look(ctx); err != nil {
		return 0, fmt.Errorf("decide: read: %w", err)
	}
	return b.head, nil
}

// Append records events on the condition that nothing which the projections look at was recorded since they were read, and returns the
// position of the last: the second half of [Runner.Do], for decisions that take longer than a function should, such as those that
// a person makes on a screen. A conflict is an error at once. No events are recorded without an error, as in Do.
func (d *Runner) Append(ctx context.Context, events []any, projections ...AnyProjection) (dcb.Position, error) {
	b := boundary{runner: d}
	defer b.release()
	if err := b.take(projections); err != nil {
		return 0, fmt.Errorf("decide: append: %w", err)
	}
	if err := b.keep(); err != nil {
		return 0, fmt.Errorf("decide: append: %w", err)
	}
	if position := b.answered(); position > 0 {
		return position, nil
	}
	if len(events) == 0 {
		return b.head, nil
	}
	position, err := d.append(ctx, events, b.key(), b.condition())
	if err != nil {
		return 0, fmt.Errorf("decide: append: %w", err)
	}
	return position, nil
}

// Record records events that depend on nothing that happened before, on no condition, and returns the position of the last.
func (d *Runner) Record(ctx context.Context, events ...any) (dcb.Position, error) {
	position, err := d.append(ctx, events, "", nil)
	if err != nil {
		return 0, fmt.Errorf("decide: record: %w", err)
	}
	return position, nil
}
