package decide

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// span is between which bounds the pauses grow.
type span struct{ first, longest time.Duration }

var (
	// conflictPause is about who wins next. A decision takes microseconds in memory and a millisecond or so on a disk or a server.
	conflictPause = span{first: 100 * time.Microsecond, longest: 10 * time.Millisecond}
	// outagePause is about a connection that broke, or a server that starts again.
	outagePause = span{first: 10 * time.Millisecond, longest: time.Second}
)

// resendFor is for how long an append is sent again whose outcome is unknown: once at least, and not again after that. A store that is
// reached by a network tries for as long as it thinks right each time.
const resendFor = 3 * time.Second

// append records events under condition, and sends them again, with the same IDs, until it is known whether they are recorded.
func (d *Runner) append(ctx context.Context, events []any, key string, condition *dcb.AppendCondition) (dcb.Position, error) {
	var looked dcb.Query
	if condition != nil {
		looked = condition.FailIfEventsMatch
	}
	encoded, err := d.encode(ctx, events, key, looked)
	if err != nil {
		return 0, err
	}
	position, err := d.store.Append(ctx, encoded, condition)
	if err == nil || !outcomeUnknown(err) {
		return position, err
	}
	// From here on an error says nothing about the first append, unless it is a conflict: had the first been recorded, the store would have
	// recognised the IDs before it looked at the condition; and if it still arrives, it meets the same conflict.
	unknown, since := err, time.Now()
	for resend := 1; ; resend++ {
		if ended := pause(ctx, resend, outagePause); ended != nil {
			return 0, fmt.Errorf("%w, and: %w", unknown, ended)
		}
		position, err = d.store.Append(ctx, encoded, condition)
		switch {
		case err == nil || errors.Is(err, dcb.ErrConflict):
			return position, err
		case !dcb.Retryable(err):
			return 0, fmt.Errorf("%w; sent again: %w", unknown, err)
		case time.Since(since) > resendFor:
			return 0, fmt.Errorf("%w; sent %d times, the last time: %w", unknown, 1+resend, err)
		}
	}
}

// settle waits after an attempt that met a conflict, and returns the context's error if that ends.
//
// Every other time it waits until the event that was in the way can be seen, and no longer. A store that syncs to a disk knows of an
// append before anybody may see it, so a decision made meanwhile is in vain; and whoever recorded that event is the first to go on when it is
// seen. Those who only pause at random would hardly ever hit that moment, and one caller in a loop could keep
// all others out. The wait is bounded, for what was in the way may never be recorded in the end.
func (d *Runner) settle(ctx context.Context, attempt int, err error) error {
	var conflict *dcb.ConflictError
	if attempt%2 == 0 || !errors.As(err, &conflict) || conflict.Position == 0 {
		return pause(ctx, (attempt+1)/2, conflictPause)
	}
	bounded, cancel := context.WithTimeout(ctx, conflictPause.longest)
	defer cancel()
	_, _ = d.store.Wait(bounded, conflict.Position-1) // what goes wrong shows when the store is read
	return ctx.Err()
}

// encode returns events as the store wants them, each with an ID of its own, after a look at what the query selects.
func (d *Runner) encode(ctx context.Context, events []any, key string, looked dcb.Query) ([]dcb.Event, error) {
	var metadata map[string]string
	if d.metadata != nil {
		metadata = d.metadata(ctx)
		if _, ok := metadata[VersionKey]; ok {
			return nil, fmt.Errorf("the metadata from the context has the key %q, which is the codec's", VersionKey)
		}
	}
	encoded := make([]dcb.Event, len(events))
	for i, event := range events {
		e, err := d.codec.encode(event, key, looked)
		if err != nil {
			return nil, err
		}
		if len(metadata) > 0 {
			if e.Metadata == nil {
				e.Metadata = metadata // the store only looks at it
			} else {
				maps.Copy(e.Metadata, metadata)
			}
		}
		if e.ID, err = uuid.NewV7(); err != nil { // it begins with the time, which databases index best
			return nil, err
		}
		encoded[i] = e
	}
	return encoded, nil
}

func outcomeUnknown(err error) bool {
	var unavailable *dcb.UnavailableError
	return errors.As(err, &unavailable) && unavailable.OutcomeUnknown
}

// pause waits before the attempt after the given one, which counts from 1, and returns the context's error if that ends first. How
// long is drawn evenly from zero to a bound that doubles: those who met once are not to meet again.
func pause(ctx context.Context, attempt int, within span) error {
	most := within.longest
	if shift := attempt - 1; shift < 20 {
		most = min(most, within.first<<shift)
	}
	timer := time.NewTimer(rand.N(most))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
