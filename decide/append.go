package decide

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// resendFor limits for how long an append with an unknown outcome is repeated. It is repeated at
// least once, and not again after this time. A client of a server may retry each of these appends
// for longer than that.
const resendFor = 3 * time.Second

// append records events under condition, all of them with the idempotency key if key is not
// empty. While it is unknown whether they are recorded, it repeats the append with the same event
// IDs.
func (r *Runner) append(
	ctx context.Context, events []any, key string, condition *dcb.AppendCondition,
) (dcb.Position, error) {
	var query dcb.Query
	if condition != nil {
		query = condition.FailIfEventsMatch
	}
	encoded, err := r.encode(ctx, events, key, query)
	if err != nil {
		return 0, err
	}
	position, err := r.store.Append(ctx, encoded, condition)
	if err == nil || !outcomeUnknown(err) {
		return position, err
	}
	// From here on an error of a later append does not reveal the outcome of the first, unless it is
	// a conflict. A store checks IDs before the condition, so a conflict proves that the first
	// append is not recorded. If it still arrives, the same event conflicts with it.
	unknown, since := err, time.Now()
	for resend := 1; ; resend++ {
		if ended := outageBackoff.wait(ctx, resend); ended != nil {
			return 0, fmt.Errorf("%w, and: %w", unknown, ended)
		}
		position, err = r.store.Append(ctx, encoded, condition)
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

func outcomeUnknown(err error) bool {
	unavailable, ok := errors.AsType[*dcb.UnavailableError](err)
	return ok && unavailable.OutcomeUnknown
}

// encode encodes events for the store, each with a new ID and the metadata from ctx. Tags that
// occur in query are reused, see [Codec.encode].
func (r *Runner) encode(ctx context.Context, events []any, key string, query dcb.Query) ([]dcb.Event, error) {
	var metadata map[string]string
	if r.opts.Metadata != nil {
		metadata = r.opts.Metadata(ctx)
		if _, ok := metadata[VersionKey]; ok {
			return nil, fmt.Errorf("Options.Metadata returned the key %q, which is reserved for the version of the data; "+
				"use another key", VersionKey)
		}
	}
	encoded := make([]dcb.Event, len(events))
	for i, event := range events {
		e, err := r.codec.encode(event, key, query)
		if err != nil {
			return nil, err
		}
		if len(metadata) > 0 {
			if e.Metadata == nil {
				e.Metadata = metadata // shared by all events: stores do not change it
			} else {
				maps.Copy(e.Metadata, metadata)
			}
		}
		// Version 7 begins with the time, so new IDs are neighbours in a database index.
		if e.ID, err = uuid.NewV7(); err != nil {
			return nil, err
		}
		encoded[i] = e
	}
	return encoded, nil
}

// waitAfterConflict waits before the attempt that follows a conflict. It returns the context's
// error if ctx ends.
//
// After attempts with an odd number it waits until the conflicting event is visible, and no
// longer. A store that syncs to a disk checks conditions against an event before readers can see
// it, so a decision made in between would conflict again. The caller that recorded the event
// continues as soon as it is visible. Callers that only wait at random rarely hit that moment, so
// that one caller in a loop could keep all others from deciding. The wait is bounded, because the
// conflicting append may still fail.
func (r *Runner) waitAfterConflict(ctx context.Context, attempt int, err error) error {
	conflict, ok := errors.AsType[*dcb.ConflictError](err)
	if attempt%2 == 0 || !ok || conflict.Position == 0 {
		return conflictBackoff.wait(ctx, (attempt+1)/2)
	}
	bounded, cancel := context.WithTimeout(ctx, conflictBackoff.longest)
	defer cancel()
	_, _ = r.store.Wait(bounded, conflict.Position-1) // the next read reports any error
	return ctx.Err()
}
