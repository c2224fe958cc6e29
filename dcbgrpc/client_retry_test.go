package dcbgrpc

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
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

// cutAtOnce is a store whose server is lost to whoever begins to wait.
type cutAtOnce struct {
	dcb.Store
	cut func()
}

func (s cutAtOnce) Wait(ctx context.Context, _ dcb.Position) (dcb.Position, error) {
	s.cut()
	<-ctx.Done()
	return 0, ctx.Err()
}

// That a link takes long to be made does not mean that who waits has been with the server.
func TestWaitEndsWhenSlowLinksAreLostAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last atomic.Pointer[net.Conn]
		cut := func() { _ = (*last.Load()).Close() }
		server := serve(t, cutAtOnce{memstore.New(nil), cut}, nil)
		dial := server.opts.Dial
		isSlow := false // set before there is anyone else
		client := server.dial(t, func(o *ClientOptions) {
			o.RetryFor = 300 * time.Millisecond
			o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				if isSlow {
					time.Sleep(aWhile + 100*time.Millisecond)
				}
				conn, err := dial(ctx, address)
				if err == nil {
					last.Store(&conn)
				}
				return conn, err
			}
		})
		isSlow = true
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		if _, err := client.Wait(ctx, 0); !errors.Is(err, dcb.ErrUnavailable) {
			t.Errorf("it ended with %v, want ErrUnavailable", err)
		}
	})
}
