package dcbhttp

import (
	"context"
	"errors"
	"time"

	"github.com/dcbstore/dcb"
)

func (h *Handler) append(ctx context.Context, c *call) error {
	if _, err := parameters(c.r); err != nil {
		return err
	}
	var request appendRequest
	release, err := h.readJSON(c, &request)
	defer release()
	if err != nil {
		return err
	}
	events, condition, err := request.contract()
	if err != nil {
		return err
	}
	if condition != nil {
		if err := h.opts.Limits.CheckQuery(condition.FailIfEventsMatch); err != nil {
			if invalid, ok := errors.AsType[*dcb.InvalidError](err); ok {
				invalid.Field = "/condition/failIfEventsMatch"
			}
			return err
		}
	}
	began := time.Now()
	position, err := h.store.Append(ctx, events, condition)
	took := time.Since(began).Microseconds()
	if conflict, ok := errors.AsType[*dcb.ConflictError](err); ok {
		c.reported = err
		return c.answer(appendResponse{DurationInMicroseconds: took, AppendConditionFailed: true, ConflictingPosition: conflict.Position})
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &dcb.UnavailableError{OutcomeUnknown: true, Cause: err}
	case err != nil:
		return err
	}
	return c.answer(appendResponse{DurationInMicroseconds: took, Position: position})
}
