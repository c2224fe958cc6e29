package dcbgrpc

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetryTriesAgainAfterAFirstFailureHoweverLongItsPausesAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const retryFor = 500 * time.Millisecond
		outage := errors.New("outage")
		retry := newRetry(retryFor)
		for n := range 20 { // after which pauses are longer than the time to try
			began := time.Now()
			attempts := 0
			for retry.again(t.Context(), nil, outage) == nil {
				attempts++
			}
			if took := time.Since(began); attempts == 0 || took != retryFor {
				t.Errorf("outage %d: %d attempts more in %v, want some in %v", n, attempts, took, retryFor)
			}
			retry.reached()
		}
	})
}
