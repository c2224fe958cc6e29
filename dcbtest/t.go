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

// T is one run of a case: a new store, a context that ends when the case times out, and the
// failures found so far. Cases use it instead of testing.T, so that a failing case does not have
// to fail a test. Its methods may be called from any goroutine of the case.
type T struct {
	// Store is new and empty.
	Store dcb.Store

	tb         testing.TB // only for opening stores
	suite      Suite
	ctx        context.Context //nolint:containedctx // T lives as long as the case, which is one call.
	cancel     context.CancelFunc
	goroutines sync.WaitGroup // started by Go

	mu       sync.Mutex // guards the fields below
	failures []error
	opened   []dcb.Store // closed when the case ends
}

// maxFailures limits the failures that a case keeps: a loop would report the same one repeatedly.
const maxFailures = 8

// run runs c and returns its failures. It returns even if the case ignores the end of its context.
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
			cancel() // after a failure, other goroutines may wait for events that never come
		}
		t.goroutines.Wait()
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
		t.hung(", and it ignored the end of its context")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.failures...)
}

// Context returns the context of the case. It ends when the case times out, and after a failure.
func (t *T) Context() context.Context { return t.ctx }

// Errorf records a failure of the store. The format may wrap errors with %w.
func (t *T) Errorf(format string, args ...any) {
	t.fail(fmt.Errorf("%s%w", t.caller(), fmt.Errorf(format, args...)))
}

// Fatalf records a failure like Errorf and ends the calling goroutine.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// Failed reports whether the case has recorded a failure.
func (t *T) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}

// Go runs f in a new goroutine. The case ends only after f has returned.
func (t *T) Go(f func()) {
	t.goroutines.Go(func() { t.guard(f) })
}

// Second returns another handle on the events of s. The case must have [NeedSecond].
func (t *T) Second(s dcb.Store) dcb.Store { return t.track(t.suite.Second(t.tb, s)) }

// Reopen closes s and returns a store opened on its events. The case must have [NeedReopen].
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

// track registers s to be closed at the end of the case.
func (t *T) track(s dcb.Store) dcb.Store {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened = append(t.opened, s)
	return s
}

// closeAll closes the stores of the case, including those that the case has closed itself: a second
// Close returns nil.
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
			if err := closer.Close(); err != nil {
				t.fail(fmt.Errorf("Close at the end of the case: %w", err))
			}
		})
	}
}

// guard runs f to its end in a goroutine of its own, because f may call runtime.Goexit. It records
// a panic of f as a failure.
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

func (t *T) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failures) < maxFailures {
		t.failures = append(t.failures, err)
	}
}

// hung records a timeout as the first failure: the other failures may be its consequences.
func (t *T) hung(detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := fmt.Errorf("the case hung: it took longer than %v%s", t.suite.Timeout, detail)
	t.failures = slices.Insert(t.failures, 0, err)
}

// rootPackage prefixes the names of package dcb's functions. Its iterators call back into cases.
const rootPackage = "github.com/dcbstore/dcb."

// caller returns the source position of the case that reports a failure, as a prefix of the
// message. It skips the methods of T and the iterators of package dcb.
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
