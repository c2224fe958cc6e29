// Package decide lets an application write its rules on any [dcb.Store] in Go types instead of
// bytes and tags. A [Projection] folds the events that matter to one rule into a state. A
// decision reads the states of some projections and returns the events that happen. The boundary
// that guards the decision is derived from the projections that it uses, so the two cannot drift
// apart.
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
// # How a decision stays correct
//
// The query of a decision is the union of the queries of its projections. All projections are
// read up to one head. Each then holds every event that it selects up to that head, and none
// after it. The events of the decision are appended on the condition that no event of the union
// was recorded after that head. If one was, the runner reads and folds only the new events and
// decides again.
//
// So the state of a projection is never wrong, only older than the store. It can be kept for the
// next decision ([Cached]), and no invalidation is necessary.
//
// # Where to start reading
//
// Start with [Runner.Do], then read boundary.go, read.go, projection.go and codec.go. The
// examples directory holds whole programs, docs/guide.md is the introduction, and
// docs/decisions.md explains the design.
package decide

import (
	"context"
	"errors"
	"fmt"

	"github.com/dcbstore/dcb"
)

// Options configures a [Runner]. The zero value means the defaults.
type Options struct {
	// Attempts limits how often one decision runs because of conflicts. Each conflict means that
	// another caller made progress, so the limit is about fairness and not about deadlock.
	// Default 100.
	Attempts int
	// Metadata returns the metadata of every event that a call records: correlation, causation,
	// user or trace, taken from the context. It is called once per attempt, from many goroutines,
	// and must not return the key [VersionKey]. Default nil, no metadata.
	Metadata func(ctx context.Context) map[string]string
}

const defaultAttempts = 100

// withDefaults returns a copy of o with the defaults filled in, or an error that names an invalid
// field. o may be nil.
func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	switch {
	case opts.Attempts < 0:
		return Options{}, fmt.Errorf("decide: Options.Attempts is %d; it must be at least 1, or 0 for the default %d",
			opts.Attempts, defaultAttempts)
	case opts.Attempts == 0:
		opts.Attempts = defaultAttempts
	}
	return opts, nil
}

// Runner makes decisions on one store. Any number of goroutines may use it. A program creates one
// runner per store and keeps it, because states that [Cached] keeps belong to the runner that
// read them.
type Runner struct {
	store  dcb.Store
	codec  *Codec
	opts   Options
	queues keyQueues
}

// New returns a runner that decides on store, with the event types that codec knows. opts may be
// nil. New panics if store or codec is nil or if an option is invalid: like [NewCodec], it
// reports mistakes in the program when the program starts.
func New(store dcb.Store, codec *Codec, opts *Options) *Runner {
	if store == nil {
		panic("decide: new: the store is nil")
	}
	if codec == nil {
		panic("decide: new: the codec is nil; NewCodec makes one")
	}
	complete, err := opts.withDefaults()
	if err != nil {
		panic(err.Error())
	}
	return &Runner{store: store, codec: codec, opts: complete}
}

// Events returns its arguments. It makes the return statement of a decision readable.
func Events(events ...any) []any { return events }

// Do makes a decision and returns the position of its last event. The function decide may run
// several times, once per attempt. So it must only read the states of the projections and return
// events, without side effects. A variable that it sets holds the value of the last run.
//
// Do reads the projections up to the head of the store and then calls decide:
//
//   - If decide returns events, Do appends all of them or none, on the condition that no event that
//     the projections select was recorded in between.
//   - If decide returns an error, Do returns that error unchanged and records nothing.
//   - If decide returns neither, Do records nothing and returns the head that it read up to.
//
// After a conflict Do reads only the new events and calls decide again. Attempts are spaced, and
// limited by Options.Attempts and ctx. Callers of one runner that conflict repeatedly about the
// same tags take turns. The error is then the last conflict ([dcb.ErrConflict],
// [*dcb.ConflictError]).
//
// If the answer of an append is lost, Do repeats the append with the same event IDs, so nothing
// is recorded twice. If the outcome remains unknown, the error is the [*dcb.UnavailableError] or
// the context's error. A caller may then safely send the command again if it has an
// [IdempotencyKey].
//
// Do needs at least one projection. [Runner.Record] records events without reading anything.
func (r *Runner) Do(
	ctx context.Context, decide func() ([]any, error), projections ...AnyProjection,
) (dcb.Position, error) {
	if decide == nil {
		return 0, errors.New("decide: do: the function is nil")
	}
	b := boundary{runner: r}
	defer b.release()
	if err := b.acquire(projections); err != nil {
		return 0, fmt.Errorf("decide: do: %w", err)
	}
	if key, found := r.queues.find(b.projections); found {
		b.joinQueue(ctx, key)
	}
	var conflict error // of the last attempt
	for attempt := 1; ; attempt++ {
		if err := b.readToHead(ctx); err != nil {
			if conflict != nil && ctx.Err() != nil {
				err = endedAfterConflicts(attempt-1, err, conflict)
			}
			return 0, fmt.Errorf("decide: do: %w", err)
		}
		if position := b.recordedPosition(); position > 0 {
			return position, nil
		}
		events, err := decide()
		if err != nil {
			return 0, err
		}
		if err := b.checkUnchanged(); err != nil {
			return 0, fmt.Errorf("decide: do: %w", err)
		}
		if len(events) == 0 {
			return b.head, nil
		}
		position, err := r.append(ctx, events, b.keyText(), b.condition())
		if err == nil {
			return position, nil
		}
		if errors.Is(err, dcb.ErrConflict) {
			conflict = err
			err = b.prepareRetry(ctx, attempt, conflict)
		}
		if err != nil {
			return 0, fmt.Errorf("decide: do: %w", err)
		}
	}
}

// Read reads all projections up to the head of the store and returns that head. Use it to show
// states without deciding, or to decide outside of Do and call [Runner.Append] later.
func (r *Runner) Read(ctx context.Context, projections ...AnyProjection) (dcb.Position, error) {
	b := boundary{runner: r}
	defer b.release()
	if err := b.acquire(projections); err != nil {
		return 0, fmt.Errorf("decide: read: %w", err)
	}
	if err := b.readToHead(ctx); err != nil {
		return 0, fmt.Errorf("decide: read: %w", err)
	}
	return b.head, nil
}

// Append records events on the condition that no event that the projections select was recorded
// since [Runner.Read] read them. It returns the position of the last event. Use Read and Append
// in place of [Runner.Do] for decisions that take longer than a function call, such as those that
// a person makes on a screen.
//
// A conflict is returned at once. Without events Append records nothing and returns the head that
// the projections were read up to.
func (r *Runner) Append(ctx context.Context, events []any, projections ...AnyProjection) (dcb.Position, error) {
	b := boundary{runner: r}
	defer b.release()
	if err := b.acquire(projections); err != nil {
		return 0, fmt.Errorf("decide: append: %w", err)
	}
	if err := b.useHeadOfLastRead(); err != nil {
		return 0, fmt.Errorf("decide: append: %w", err)
	}
	if position := b.recordedPosition(); position > 0 {
		return position, nil
	}
	if len(events) == 0 {
		return b.head, nil
	}
	position, err := r.append(ctx, events, b.keyText(), b.condition())
	if err != nil {
		return 0, fmt.Errorf("decide: append: %w", err)
	}
	return position, nil
}

// Record records events without a condition, and returns the position of the last one. It is for
// facts that depend on nothing that happened before.
func (r *Runner) Record(ctx context.Context, events ...any) (dcb.Position, error) {
	position, err := r.append(ctx, events, "", nil)
	if err != nil {
		return 0, fmt.Errorf("decide: record: %w", err)
	}
	return position, nil
}
