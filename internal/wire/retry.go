package wire

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/dcbstore/dcb"
)

// The bounds of the pauses of a Retry.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
)

// Retry decides how long a client repeats a call that fails because its server cannot be reached,
// and pauses between the attempts. It belongs to one call, and is used by one goroutine.
type Retry struct {
	limit time.Duration // from the first failure
	until time.Time     // zero before the first failure
	pause time.Duration
}

// NewRetry returns a Retry that ends limit after the first failure.
func NewRetry(limit time.Duration) Retry { return Retry{limit: limit, pause: firstPause} }

// Reset records that the server was reached: the next failure counts as the first. Pauses do not
// become shorter.
func (r *Retry) Reset() { r.until = time.Time{} }

// Pause waits before the next attempt after err, and returns nil if there is one. Otherwise it
// returns the error to end the call with: err after the time limit, ctx's error, or dcb.ErrClosed
// once closed is closed. The last pause is cut at the time limit. So at least one attempt follows
// the first failure, however long pauses have become, and none starts after the limit.
func (r *Retry) Pause(ctx context.Context, closed <-chan struct{}, err error) error {
	now := time.Now()
	if r.until.IsZero() {
		r.until = now.Add(r.limit)
	}
	left := r.until.Sub(now)
	if left <= 0 {
		return err
	}
	pause := min(left, r.pause/2+rand.N(r.pause)) //nolint:gosec // jitter spreads clients; it hides nothing
	r.pause = min(2*r.pause, lastPause)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-closed:
		return dcb.ErrClosed
	}
}
