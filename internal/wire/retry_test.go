package wire_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb/internal/wire"
)

// Pauses become longer than the limit. Even then an attempt follows the first failure.
func TestRetryPauseAllowsAnAttemptHoweverLongPausesAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 500 * time.Millisecond
		outage := errors.New("outage")
		retry := wire.NewRetry(limit)
		for n := range 20 {
			began := time.Now()
			attempts := 0
			for retry.Pause(t.Context(), nil, outage) == nil {
				attempts++
			}
			if took := time.Since(began); attempts == 0 || took != limit {
				t.Errorf("outage %d: %d further attempts in %v, want some in %v", n, attempts, took, limit)
			}
			retry.Reset()
		}
	})
}
