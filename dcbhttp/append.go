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
	text, release, err := h.body(c)
	defer release()
	if err != nil {
		return err
	}
	var events []dcb.Event
	var condition *dcb.AppendCondition
	err = parseBody(text, func(p *parser) (err error) {
		events, condition, err = p.appendRequest()
		return err
	})
	if err != nil {
		return err
	}
	if condition != nil {
		if err := h.opts.Limits.CheckQuery(condition.FailIfEventsMatch); err != nil {
			if invalid, ok := errors.AsType[*dcb.InvalidError](err); ok {
				invalid.Field = "condition.failIfEventsMatch"
			}
			return err
		}
	}
	began := time.Now()
	position, err := h.store.Append(ctx, events, condition)
	took := time.Since(began).Microseconds()
	var conflict *dcb.ConflictError
	switch {
	case errors.As(err, &conflict):
		c.failed = err
		return c.answer(appendedJSON{DurationInMicroseconds: took, AppendConditionFailed: true, ConflictingPosition: conflict.Position})
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &dcb.UnavailableError{OutcomeUnknown: true, Cause: err}
	case err != nil:
		return err
	}
	return c.answer(appendedJSON{DurationInMicroseconds: took, Position: position})
}
