package dcbtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
)

// T is one run of a case: a store, a context that ends when the case has taken too long, and a record of what the store did wrong.
// It takes the place of testing.T, so that a failing case need not fail a test. All its methods may be called from any
// goroutine of the case.
type T struct {
	// Store is new and empty.
	Store dcb.Store

	tb     testing.TB // for opening stores only
	suite  Suite
	ctx    context.Context //nolint:containedctx // T is the case's call, not an object that outlives it.
	cancel context.CancelFunc
	others sync.WaitGroup // the goroutines started by Go

	mu       sync.Mutex // guards what follows
	failures []error
	opened   []dcb.Store
}

// run carries out c, and gives up on it when it does not even end at the end of its context.
func run(tb testing.TB, s Suite, c Case) error {
	tb.Helper()
	store := s.Open(tb)
	ctx, cancel := context.WithTimeout(context.Background(), s.Timeout)
	defer cancel()
	t := &T{Store: store, tb: tb, suite: s, ctx: ctx, cancel: cancel, opened: []dcb.Store{store}}

	done := make(chan struct{})
	go func() {
		defer close(done)
		t.guard(func() { c.Run(t) })
		if t.Failed() {
			cancel() // so that goroutines that wait for what will not happen any more end too
		}
		t.others.Wait()
		if ctx.Err() == context.DeadlineExceeded {
			t.hung("")
		}
		cancel()
		t.closeAll()
	}()
	grace := time.NewTimer(s.Timeout + min(s.Timeout, 5*time.Second))
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		t.hung(", and did not end with its context")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.failures...)
}

// Context ends when the case has taken too long, or failed.
func (t *T) Context() context.Context { return t.ctx }

// Errorf records that the store did something wrong.
func (t *T) Errorf(format string, args ...any) {
	t.fail(fmt.Errorf("%s%w", t.caller(), fmt.Errorf(format, args...)))
}

// Fatalf is Errorf, and ends the goroutine that calls it.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// Failed reports whether the store did something wrong.
func (t *T) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}

// Go runs f in a goroutine that the case does not end before.
func (t *T) Go(f func()) {
	t.others.Go(func() { t.guard(f) })
}

// Second returns another handle on the events of s. The case needs [NeedSecond].
func (t *T) Second(s dcb.Store) dcb.Store { return t.keep(t.suite.Second(t.tb, s)) }

// Reopen closes s and returns a store opened on its events. The case needs [NeedReopen].
func (t *T) Reopen(s dcb.Store) dcb.Store {
	reopened := t.suite.Reopen(t.tb, s)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.opened {
		if t.opened[i] == s {
			t.opened[i] = reopened
		}
	}
	return reopened
}

func (t *T) keep(s dcb.Store) dcb.Store {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened = append(t.opened, s)
	return s
}

// closeAll closes the stores of the case; one that the case closed itself may say so.
func (t *T) closeAll() {
	t.mu.Lock()
	opened := t.opened
	t.mu.Unlock()
	for _, s := range opened {
		closer, ok := s.(io.Closer)
		if !ok {
			continue
		}
		t.guard(func() {
			if err := closer.Close(); err != nil && !errors.Is(err, dcb.ErrClosed) {
				t.fail(fmt.Errorf("close at the end of the case: %w", err))
			}
		})
	}
}

// guard runs f in a goroutine of its own until it ends, by whatever means: a panic is a failure.
func (t *T) guard(f func()) {
	var running sync.WaitGroup
	running.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				t.fail(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			}
		}()
		f()
	})
	running.Wait()
}

// fail keeps the first few failures: a case that loops would say the same a thousand times.
func (t *T) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failures) < 8 {
		t.failures = append(t.failures, err)
	}
}

// hung says first that the case hung: what else it says may come of that.
func (t *T) hung(how string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = slices.Insert(t.failures, 0, fmt.Errorf("the case hung: it took longer than %v%s", t.suite.Timeout, how))
}

// rootPackage begins the names of the functions that call back into a case: the iterators.
const rootPackage = "github.com/dcbstore/dcb."

// caller returns where in the kit a failure was found, outside the methods of T, in the form of a prefix.
func (t *T) caller() string {
	var callers [16]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		frame, more := frames.Next()
		if !strings.Contains(frame.Function, ".(*T).") && !strings.HasPrefix(frame.Function, rootPackage) {
			return fmt.Sprintf("%s:%d: ", filepath.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}
