package decide_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
)

var errBroken = errors.New("the connection broke")

func unknown() error { return &dcb.UnavailableError{OutcomeUnknown: true, Cause: errBroken} }

// lossy makes store call answer after each append, with the number of the append from 1. An error
// from answer replaces the result. The append reaches the store only if reached returns true.
func lossy(store *spy, reached func(n int) bool, answer func(n int) error) (appends *int, ids map[uuid.UUID]bool) {
	appends, ids = new(int), make(map[uuid.UUID]bool)
	store.append = func(events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
		*appends++
		for _, event := range events {
			ids[event.ID] = true
		}
		var position dcb.Position
		var err error
		if reached(*appends) {
			position, err = store.Store.Append(context.Background(), events, condition)
		}
		if lost := answer(*appends); lost != nil {
			return 0, lost
		}
		return position, err
	}
	return appends, ids
}

func TestDoResendsAnAppendWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for name, recordedAt := range map[string]int{"the first append is recorded": 1, "the second append is recorded": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &spy{Store: memstore.New(nil)}
				appends, ids := lossy(store, func(n int) bool { return n >= recordedAt }, func(n int) error {
					switch n {
					case 1:
						return unknown()
					case 2:
						return &dcb.UnavailableError{Cause: errBroken} // known not to be recorded
					}
					return nil
				})
				runs := 0
				position, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
					runs++
					return decide.Events(Opened{"a"}, Deposited{"a", 1}), nil
				}, balance("a"))
				head, _ := store.Head(t.Context())
				if position != 2 || err != nil || head != 2 || runs != 1 || *appends != 3 || len(ids) != 2 {
					t.Errorf("Do(…) = %d, %v with head %d after %d runs and %d appends of %d IDs, want 2 with head 2 after 1 run and 3 appends of 2 IDs",
						position, err, head, runs, *appends, len(ids))
				}
			})
		})
	}
}

func TestDoReportsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]error{
		"always unknown":       unknown(),
		"later unavailable":    &dcb.UnavailableError{Cause: errBroken},
		"later closed":         dcb.ErrClosed,
		"later a duplicate ID": dcb.ErrDuplicateID,
		"later a deadline":     context.DeadlineExceeded,
		"later corrupt":        dcb.ErrCorrupt,
		"later cancelled":      context.Canceled,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &spy{Store: memstore.New(nil)}
				appends, ids := lossy(store, func(int) bool { return false }, func(n int) error {
					if n == 1 {
						return unknown()
					}
					return later
				})
				_, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}), balance("a"))
				unavailable, ok := errors.AsType[*dcb.UnavailableError](err)
				if !dcb.Retryable(later) && *appends != 2 {
					t.Errorf("%d appends, want 2: the error of the second is not retryable", *appends)
				}
				if !ok || !unavailable.OutcomeUnknown || !errors.Is(err, later) || len(ids) != 1 {
					t.Errorf("Do(…) = %v after %d appends of %d IDs, want an unknown outcome and %v", err, *appends, len(ids), later)
				}
			})
		})
	}
}

func TestDoStopsResendingWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store := &spy{Store: memstore.New(nil)}
		appends, _ := lossy(store, func(int) bool { return false }, func(int) error {
			cancel()
			return unknown()
		})
		_, err := decide.New(store, bank, nil).Do(ctx, always(Opened{"a"}), balance("a"))
		unavailable, ok := errors.AsType[*dcb.UnavailableError](err)
		if !errors.Is(err, context.Canceled) || !ok || !unavailable.OutcomeUnknown || *appends != 1 {
			t.Errorf("Do(…) = %v after %d appends, want the context's error and an unknown outcome after 1", err, *appends)
		}
	})
}

// A client of a server retries for long itself, so that a dozen appends would take minutes.
func TestDoLimitsResending(t *testing.T) {
	t.Parallel()
	for takes, want := range map[time.Duration]int{time.Millisecond: 5, 30 * time.Second: 2} {
		synctest.Test(t, func(t *testing.T) {
			store := &spy{Store: memstore.New(nil)}
			appends, _ := lossy(store, func(int) bool { return false }, func(int) error {
				time.Sleep(takes)
				return unknown()
			})
			began := time.Now()
			_, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}), balance("a"))
			if err == nil || *appends < want || time.Since(began) > 5*time.Second+2*takes || takes > time.Second && *appends > want {
				t.Errorf("Do(…) = %v after %d appends that take %v each, within %v", err, *appends, takes, time.Since(began))
			}
		})
	}
}

// A conflict of a repeated append proves that the first append was not recorded and never will
// be.
func TestDoDecidesAgainAfterALostAnswerAndAConflict(t *testing.T) {
	t.Parallel()
	store := &spy{Store: memstore.New(nil)}
	appends, ids := lossy(store, func(n int) bool { return n > 1 }, func(n int) error {
		if n == 1 {
			event, _ := bank.Encode(Deposited{"a", 5})
			_, _ = store.Store.Append(context.Background(), []dcb.Event{event}, nil)
			return unknown()
		}
		return nil
	})
	a := balance("a")
	position, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
		return decide.Events(Deposited{"a", a.State()}), nil
	}, a)
	if position != 2 || err != nil || *appends != 3 || len(ids) != 2 || a.State() != 5 {
		t.Errorf("Do(…) = %d, %v after %d appends of %d IDs with state %d, want 2 after 3 appends of 2 IDs with state 5",
			position, err, *appends, len(ids), a.State())
	}
}

func TestDoDoesNotResendAnAppendThatFailed(t *testing.T) {
	t.Parallel()
	store := &spy{Store: memstore.New(nil)}
	appends, _ := lossy(store, func(int) bool { return false }, func(int) error { return &dcb.UnavailableError{Cause: errBroken} })
	_, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}), balance("a"))
	if !errors.Is(err, dcb.ErrUnavailable) || *appends != 1 {
		t.Errorf("Do(…) = %v after %d appends, want ErrUnavailable after 1", err, *appends)
	}
}

func TestRecordResendsAnAppendWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	store := &spy{Store: memstore.New(nil)}
	lossy(store, func(int) bool { return true }, func(n int) error {
		if n == 1 {
			return unknown()
		}
		return nil
	})
	position, err := decide.New(store, bank, nil).Record(t.Context(), Opened{"a"})
	if head, _ := store.Head(t.Context()); position != 1 || err != nil || head != 1 {
		t.Errorf("Record(…) = %d, %v with head %d, want 1 with head 1", position, err, head)
	}
}

func TestIdempotencyKeyDoesNotRememberARefusal(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	runner := decide.New(store, bank, nil)
	withdraw := func() error {
		a := balance("a")
		_, err := runner.Do(t.Context(), func() ([]any, error) {
			if a.State() < 5 {
				return nil, errBroken
			}
			return decide.Events(Transferred{"a", "b", 5}), nil
		}, a, decide.IdempotencyKey("k"))
		return err
	}
	refused := withdraw()
	record(t, store, Deposited{"a", 5})
	if accepted := withdraw(); refused == nil || accepted != nil {
		t.Errorf("the command returned %v and then %v, want an error and then nil", refused, accepted)
	}
}

// The rival is the same command, sent at the same time. No projection selects its event.
func TestIdempotencyKeyReturnsThePositionOfARival(t *testing.T) {
	t.Parallel()
	store := &spy{Store: memstore.New(nil)}
	rival, runs := decide.New(store.Store, bank, nil), 0
	position, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
		if runs++; runs == 1 {
			if _, err := rival.Do(t.Context(), always(Opened{"z"}), decide.IdempotencyKey("k")); err != nil {
				t.Error(err)
			}
		}
		return decide.Events(Opened{"a"}), nil
	}, balance("a"), decide.IdempotencyKey("k"))
	if head, _ := store.Head(t.Context()); position != 1 || err != nil || runs != 1 || head != 1 {
		t.Errorf("Do(…) = %d, %v after %d runs with head %d, want 1 after 1 run with head 1", position, err, runs, head)
	}
}

func TestAppendHonorsAnIdempotencyKey(t *testing.T) {
	t.Parallel()
	runner := decide.New(memstore.New(nil), bank, nil)
	for range 2 {
		a, key := opened("a"), decide.IdempotencyKey("k")
		if _, err := runner.Read(t.Context(), a, key); err != nil {
			t.Fatal(err)
		}
		if position, err := runner.Append(t.Context(), decide.Events(Opened{"a"}), a, key); position != 1 || err != nil {
			t.Errorf("Append(…) = %d, %v, want 1", position, err)
		}
	}
}

func TestRecordRefusesTheTagOfIdempotencyKeys(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[byMethod]("ByMethod"))
	_, err := decide.New(memstore.New(nil), codec, nil).Record(t.Context(), byMethod{"command:k"})
	if !failsWith(err, "reserved") {
		t.Errorf("Record(…) = %v, want an error that names the reserved tag", err)
	}
}
