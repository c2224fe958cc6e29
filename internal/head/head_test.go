package head_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/head"
)

func TestWatchRaiseNeverLowersTheHead(t *testing.T) {
	var w head.Watch
	for _, c := range []struct{ raise, want dcb.Position }{{0, 0}, {3, 3}, {2, 3}, {3, 3}, {4, 4}, {0, 4}} {
		w.Raise(c.raise)
		if got, err := w.Load(); got != c.want || err != nil {
			t.Errorf("after Raise(%d): Load() = %d, %v, want %d", c.raise, got, err, c.want)
		}
	}
}

func TestWatchWaitReturnsAtOnceIfTheHeadIsGreater(t *testing.T) {
	var w head.Watch
	w.Raise(5)
	for after := range dcb.Position(5) {
		if got, err := w.Wait(t.Context(), after); got != 5 || err != nil {
			t.Errorf("Wait(%d) = %d, %v, want 5", after, got, err)
		}
	}
}

// waitResult is what a Wait returned.
type waitResult struct {
	head dcb.Position
	err  error
}

// startWait calls Wait in a goroutine, and returns when the call has returned or sleeps.
func startWait(ctx context.Context, w *head.Watch, after dcb.Position) <-chan waitResult {
	results := make(chan waitResult, 1)
	go func() {
		head, err := w.Wait(ctx, after)
		results <- waitResult{head, err}
	}()
	synctest.Wait()
	return results
}

func wantResult(t *testing.T, results <-chan waitResult, want dcb.Position, wantErr error) {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-results:
		if got.head != want || !errors.Is(got.err, wantErr) {
			t.Errorf("Wait = %d, %v, want %d, %v", got.head, got.err, want, wantErr)
		}
	default:
		t.Errorf("Wait sleeps, want %d, %v", want, wantErr)
	}
}

func wantAsleep(t *testing.T, results <-chan waitResult) {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-results:
		t.Errorf("Wait = %d, %v, want it to sleep", got.head, got.err)
	default:
	}
}

func TestWatchWaitSleepsUntilTheHeadIsGreater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w head.Watch
		results := startWait(t.Context(), &w, 2)
		for _, position := range []dcb.Position{1, 2, 2} {
			w.Raise(position)
			wantAsleep(t, results)
		}
		w.Wake()
		wantAsleep(t, results)
		w.Raise(7)
		wantResult(t, results, 7, nil)
	})
}

func TestWatchRaiseWakesEveryWaitBelowAndNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w head.Watch
		var low, high []<-chan waitResult
		for range 10 {
			low, high = append(low, startWait(t.Context(), &w, 0)), append(high, startWait(t.Context(), &w, 1))
		}
		w.Raise(1)
		for i := range low {
			wantResult(t, low[i], 1, nil)
			wantAsleep(t, high[i])
		}
		w.Raise(2)
		for i := range high {
			wantResult(t, high[i], 2, nil)
		}
	})
}

func TestWatchWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w head.Watch
		ctx, cancel := context.WithCancel(t.Context())
		results, other := startWait(ctx, &w, 0), startWait(t.Context(), &w, 0)
		cancel()
		wantResult(t, results, 0, context.Canceled)
		wantAsleep(t, other)
		w.Raise(1)
		wantResult(t, other, 1, nil)
		wantResult(t, startWait(ctx, &w, 0), 0, context.Canceled) // although the head is greater
	})
}

func TestWatchWaitEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w head.Watch
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		results := startWait(ctx, &w, 0)
		time.Sleep(time.Minute - time.Nanosecond) // the fake clock of the bubble
		wantAsleep(t, results)
		time.Sleep(time.Nanosecond)
		wantResult(t, results, 0, context.DeadlineExceeded)
	})
}

func TestWatchCloseEndsEveryWaitAndEveryLaterCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w head.Watch
		w.Raise(3)
		results := startWait(t.Context(), &w, 3)
		if !w.Close() {
			t.Error("Close() = false for an open watch, want true")
		}
		wantResult(t, results, 0, dcb.ErrClosed)
		wantResult(t, startWait(t.Context(), &w, 0), 0, dcb.ErrClosed)
		if _, err := w.Load(); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("Load() = %v, want ErrClosed", err)
		}
	})
}

func TestWatchCloseAndRaiseAreAllowedAfterClose(t *testing.T) {
	var w head.Watch
	w.Close()
	wantClosed(t, w.Changed())
	w.Raise(1)
	if w.Close() {
		t.Error("Close() = true for a closed watch, want false")
	}
	wantClosed(t, w.Changed())
}

func wantClosed(t *testing.T, changed <-chan struct{}) {
	t.Helper()
	select {
	case <-changed:
	default:
		t.Error("the channel is open, want it closed")
	}
}

func TestWatchChangedIsClosedByTheNextRiseOrWake(t *testing.T) {
	var w head.Watch
	for name, change := range map[string]func(){"Raise": func() { w.Raise(1) }, "Wake": w.Wake} {
		first := w.Changed()
		if second := w.Changed(); first != second {
			t.Errorf("%s: two channels for one rise, want one", name)
		}
		change()
		wantClosed(t, first)
		select {
		case <-w.Changed():
			t.Errorf("%s: a channel returned afterwards is closed, want it open", name)
		default:
		}
	}
}

// TestWatchWaitMissesNoRise finds most under the race detector.
func TestWatchWaitMissesNoRise(t *testing.T) {
	const last = 20_000
	var w head.Watch
	var running sync.WaitGroup
	for raiser := range dcb.Position(2) {
		running.Go(func() {
			for p := raiser; p <= last; p += 2 {
				w.Raise(p)
			}
		})
	}
	for range 4 {
		running.Go(func() {
			for p := dcb.Position(0); p < last; {
				next, err := w.Wait(t.Context(), p)
				if err != nil || next <= p {
					t.Errorf("Wait(%d) = %d, %v, want a greater position", p, next, err)
					return
				}
				p = next
			}
		})
	}
	running.Wait()
}
