package decide

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff spaces the attempts of one call. Each wait is drawn evenly between zero and a bound
// that doubles from first to longest, so that callers that collided once do not collide again.
type backoff struct{ first, longest time.Duration }

var (
	// conflictBackoff spaces decisions that conflict. A decision takes microseconds in memory and
	// about a millisecond on a disk or through a server.
	conflictBackoff = backoff{first: 100 * time.Microsecond, longest: 10 * time.Millisecond}
	// outageBackoff spaces appends while a connection is broken or a server restarts.
	outageBackoff = backoff{first: 10 * time.Millisecond, longest: time.Second}
)

// wait waits after an attempt, counted from 1. It returns the context's error if ctx ends first.
func (b backoff) wait(ctx context.Context, attempt int) error {
	bound := b.longest
	if shift := attempt - 1; shift < 20 {
		bound = min(bound, b.first<<shift)
	}
	timer := time.NewTimer(rand.N(bound))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
