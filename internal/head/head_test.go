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

func TestAHeadOnlyRises(t *testing.T) {
	var w head.Watch
	for _, x := range []struct{ raise, want dcb.Position }{{0, 0}, {3, 3}, {2, 3}, {3, 3}, {4, 4}, {0, 4}} {
		w.Raise(x.raise)
		if got, err := w.Load(); got != x.want || err != nil {
			t.Errorf("after Raise(%d) Load returned %d, %v, want %d", x.raise, got, err, x.want)
		}
	}
}

func TestWaitReturnsAtOnceWhenTheHeadIsGreater(t *testing.T) {
	var w head.Watch
	w.Raise(5)
	for after := range dcb.Position(5) {
		if got, err := w.Wait(t.Context(), after); got != 5 || err != nil {
			t.Errorf("Wait(%d) returned %d, %v, want 5", after, got, err)
		}
	}
}

// answer is what a Wait returned.
type answer struct {
	head dcb.Position
	err  error
}

// wait calls Wait in a goroutine of the bubble, and returns when that is done or asleep.
func wait(ctx context.Context, w *head.Watch, after dcb.Position) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		head, err := w.Wait(ctx, after)
		answers <- answer{head, err}
	}()
	synctest.Wait()
	return answers
}

func expect(t *testing.T, answers <-chan answer, want dcb.Position, wantErr error) {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-answers:
		if got.head != want || !errors.Is(got.err, wantErr) {
			t.Errorf("Wait returned %d, %v, want %d, %v", got.head, got.err, want, wantErr)
		}
	default:
		t.Errorf("Wait sleeps, and should have returned %d, %v", want, wantErr)
	}
}

func expectAsleep(t *testing.T, answers <-chan answer) {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-answers:
		t.Errorf("Wait returned %d, %v, and should sleep", got.head, got.err)
	default:
	}
}

func TestWaitSleepsUntilTheHeadIsGreater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w head.Watch
		r := wait(t.Context(), &w, 2)
		w.Raise(1)
		expectAsleep(t, r)
		w.Raise(2)
		expectAsleep(t, r)
		w.Raise(2)
		expectAsleep(t, r)
		w.Raise(7)
		expect(t, r, 7, nil)
	})
}

func TestOneRiseWakesAllWhoWaitForItAndNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w head.Watch
		var low, high []<-chan answer
		for range 10 {
			low, high = append(low, wait(t.Context(), &w, 0)), append(high, wait(t.Context(), &w, 1))
		}
		w.Raise(1)
		for i := range low {
			expect(t, low[i], 1, nil)
			expectAsleep(t, high[i])
		}
		w.Raise(2)
		for i := range high {
			expect(t, high[i], 2, nil)
		}
	})
}

func TestTheContextEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w head.Watch
		ctx, cancel := context.WithCancel(t.Context())
		r, other := wait(ctx, &w, 0), wait(t.Context(), &w, 0)
		cancel()
		expect(t, r, 0, context.Canceled)
		expectAsleep(t, other)
		w.Raise(1)
		expect(t, other, 1, nil)
		expect(t, wait(ctx, &w, 0), 0, context.Canceled) // even though the head is greater
	})
}

func TestADeadlineEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w head.Watch
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r := wait(ctx, &w, 0)
		time.Sleep(time.Minute - 1) // of the bubble's clock
		expectAsleep(t, r)
		time.Sleep(time.Nanosecond)
		expect(t, r, 0, context.DeadlineExceeded)
	})
}

func TestCloseEndsEveryWaitAndEveryLaterCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w head.Watch
		w.Raise(3)
		r := wait(t.Context(), &w, 3)
		if !w.Close() {
			t.Error("Close says that the watch was closed before")
		}
		expect(t, r, 0, dcb.ErrClosed)
		expect(t, wait(t.Context(), &w, 0), 0, dcb.ErrClosed)
		if _, err := w.Load(); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("Load returned error %v, want ErrClosed", err)
		}
	})
}

func TestAClosedWatchMayBeClosedAndRaisedAgain(t *testing.T) {
	var w head.Watch
	w.Close()
	select {
	case <-w.Risen():
	default:
		t.Error("the channel of a closed watch is open")
	}
	w.Raise(1)
	if w.Close() {
		t.Error("Close says that the watch was open")
	}
	select {
	case <-w.Risen():
	default:
		t.Error("the channel of a closed watch is open")
	}
}

func TestRisenTellsOfTheNextRise(t *testing.T) {
	var w head.Watch
	first := w.Risen()
	if second := w.Risen(); first != second {
		t.Error("two channels tell of the same rise")
	}
	w.Raise(1)
	<-first
	select {
	case <-w.Risen():
		t.Error("the channel that was asked for after a rise tells of it")
	default:
	}
}

// TestNoRiseIsLost is worth most under the race detector.
func TestNoRiseIsLost(t *testing.T) {
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
					t.Errorf("Wait(%d) returned %d, %v", p, next, err)
					return
				}
				p = next
			}
		})
	}
	running.Wait()
}
