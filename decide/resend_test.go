package decide_test

import (
	"context"
	"errors"
	"strings"
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

// lossy has append called in its place for each append that the store is sent, with its number from 1; whether the store gets it first is
// told by reached.
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

func TestALostAnswerLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	for name, recordedAt := range map[string]int{"the first was recorded": 1, "the second was recorded": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &spy{Store: memstore.New(nil)}
				appends, ids := lossy(store, func(n int) bool { return n >= recordedAt }, func(n int) error {
					switch n {
					case 1:
						return unknown()
					case 2:
						return &dcb.UnavailableError{Cause: errBroken} // it does not even get there
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
					t.Errorf("%d, %v; head %d, %d runs, %d appends of %d IDs", position, err, head, runs, *appends, len(ids))
				}
			})
		})
	}
}

func TestAnOutcomeThatStaysUnknownIsTold(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]error{
		"always unknown":         unknown(),
		"later unavailable":      &dcb.UnavailableError{Cause: errBroken},
		"later something else":   dcb.ErrClosed,
		"later a duplicate ID":   dcb.ErrDuplicateID,
		"later the context's":    context.DeadlineExceeded,
		"later it is damaged":    dcb.ErrCorrupt,
		"later it was cancelled": context.Canceled,
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
				var unavailable *dcb.UnavailableError
				if !dcb.Retryable(later) && *appends != 2 {
					t.Errorf("%d appends, though the second met something that another will not mend", *appends)
				}
				if !errors.As(err, &unavailable) || !unavailable.OutcomeUnknown || !errors.Is(err, later) || len(ids) != 1 {
					t.Errorf("after %d appends of %d IDs: %v; want an unknown outcome, and %v", *appends, len(ids), err, later)
				}
			})
		})
	}
}

func TestResendingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store := &spy{Store: memstore.New(nil)}
		appends, _ := lossy(store, func(int) bool { return false }, func(int) error {
			cancel()
			return unknown()
		})
		_, err := decide.New(store, bank, nil).Do(ctx, always(Opened{"a"}), balance("a"))
		var unavailable *dcb.UnavailableError
		if !errors.Is(err, context.Canceled) || !errors.As(err, &unavailable) || !unavailable.OutcomeUnknown || *appends != 1 {
			t.Errorf("after %d appends: %v", *appends, err)
		}
	})
}

// A store behind a network tries for long itself, so that sending a dozen times would take minutes.
func TestResendingTakesNoLongerThanItMust(t *testing.T) {
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
				t.Errorf("%d appends that take %v each, within %v: %v", *appends, takes, time.Since(began), err)
			}
		})
	}
}

// A conflict that answers an append sent again means that the first was not recorded, and never will be.
func TestAConflictAfterALostAnswerIsDecidedAgain(t *testing.T) {
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
		t.Errorf("%d, %v; %d appends of %d IDs, state %d", position, err, *appends, len(ids), a.State())
	}
}

func TestWhatIsKnownNotToBeRecordedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	store := &spy{Store: memstore.New(nil)}
	appends, _ := lossy(store, func(int) bool { return false }, func(int) error { return &dcb.UnavailableError{Cause: errBroken} })
	_, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}), balance("a"))
	if !errors.Is(err, dcb.ErrUnavailable) || *appends != 1 {
		t.Errorf("after %d appends: %v", *appends, err)
	}
}

func TestRecordIsSentAgainToo(t *testing.T) {
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
		t.Errorf("%d, %v; head %d", position, err, head)
	}
}

func TestACommandThatWasRefusedIsDecidedAgain(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	d := decide.New(store, bank, nil)
	withdraw := func() error {
		a := balance("a")
		_, err := d.Do(t.Context(), func() ([]any, error) {
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
		t.Errorf("%v, and then %v", refused, accepted)
	}
}

// The rival is the same command, sent at the same time: its event concerns nothing that the projections look at.
func TestACommandThatLosesToItselfIsAnswered(t *testing.T) {
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
		t.Errorf("%d, %v; %d runs, head %d", position, err, runs, head)
	}
}

func TestAppendKnowsTheKeyOfACommand(t *testing.T) {
	t.Parallel()
	d := decide.New(memstore.New(nil), bank, nil)
	for range 2 {
		a, once := opened("a"), decide.IdempotencyKey("k")
		if _, err := d.Read(t.Context(), a, once); err != nil {
			t.Fatal(err)
		}
		if position, err := d.Append(t.Context(), decide.Events(Opened{"a"}), a, once); position != 1 || err != nil {
			t.Errorf("%d, %v", position, err)
		}
	}
}

func TestATagOfACommandIsReserved(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[byMethod]("ByMethod"))
	_, err := decide.New(memstore.New(nil), codec, nil).Record(t.Context(), byMethod{"command:k"})
	if err == nil || !strings.Contains(err.Error(), "reserved") {
		t.Error(err)
	}
}
