package diskstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/model"
	"github.com/dcbstore/dcb/internal/vfs"
)

// reopenable is a store with the arguments that opened it.
type reopenable struct {
	*diskstore.Store
	dir  string
	opts *diskstore.Options
}

func TestStoreConformanceReopened(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]func() *diskstore.Options{
		"in memory":                        func() *diskstore.Options { return diskstore.Options{}.On(vfs.NewMem()) },
		"in memory, with small segments":   func() *diskstore.Options { return smallSegments(vfs.NewMem()) },
		"on the disk, with small segments": func() *diskstore.Options { return &diskstore.Options{SegmentBytes: diskstore.MinSegmentBytes} },
		"in memory, without syncs": func() *diskstore.Options {
			return diskstore.Options{Durability: diskstore.NoSync, SegmentBytes: diskstore.MinSegmentBytes}.On(vfs.NewMem())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dcbtest.Suite{
				Open: func(t testing.TB) dcb.Store {
					dir, opts := t.TempDir(), options()
					return reopenable{open(t, dir, opts), dir, opts}
				},
				Reopen: func(t testing.TB, s dcb.Store) dcb.Store {
					r := s.(reopenable)
					if err := r.Close(); err != nil {
						t.Error(err)
					}
					return reopenable{open(t, r.dir, r.opts), r.dir, r.opts}
				},
				Timeout: hangTimeout,
			}.Run(t)
		})
	}
}

// stepsVariable, if set, is the number of steps of the test that compares with the model.
const stepsVariable = "DCB_STEPS"

func TestStoreReopenedMatchesModel(t *testing.T) {
	t.Parallel()
	seed, _ := seedOf(t)
	for name, bytes := range map[string]int{"segments of 4 KiB": diskstore.MinSegmentBytes, "segments of 64 KiB": 64 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Logf("%s=%d", history.SeedVariable, seed)
			m := &modelRun{random: randomOf(seed, uint64(bytes)), opts: diskstore.Options{SegmentBytes: bytes}.On(vfs.NewMem())}
			m.store = open(t, dir, m.opts)
			for n := range intFromEnv(t, stepsVariable, 3000) {
				if err := m.step(t); err != nil {
					t.Fatalf("%s=%d, step %d: %v", history.SeedVariable, seed, n, err)
				}
			}
			for range 1000 {
				if err := m.read(t.Context()); err != nil {
					t.Fatalf("%s=%d: %v", history.SeedVariable, seed, err)
				}
			}
			m.merges += m.store.Metrics().Merges
			t.Logf("%d events, %d openings, %d merges", len(m.log), m.openings, m.merges)
		})
	}
}

// modelRun is a store and the model of its content.
type modelRun struct {
	random   *rand.Rand
	opts     *diskstore.Options
	store    *diskstore.Store
	log      model.Log
	openings int
	merges   int64
}

func (m *modelRun) step(t *testing.T) error {
	switch kind := m.random.IntN(40); {
	case kind == 0:
		m.merges += m.store.Metrics().Merges
		if err := m.store.Close(); err != nil {
			return err
		}
		m.store = open(t, dir, m.opts)
		m.openings++
		return nil
	case kind < 12:
		return m.append(t.Context(), randomEvents(m.random), nil)
	case kind < 20:
		after := m.log.Head() + 1 - min(m.log.Head()+1, dcb.Position(m.random.IntN(12)))
		return m.append(t.Context(), randomEvents(m.random), &dcb.AppendCondition{FailIfEventsMatch: randomQuery(m.random), After: after})
	case kind < 24 && len(m.log) > 0:
		return m.appendAgain(t.Context())
	default:
		return m.read(t.Context())
	}
}

// appendAgain appends recorded events again, sometimes with more events, or only a part of one
// append.
func (m *modelRun) appendAgain(ctx context.Context) error {
	from := m.random.IntN(len(m.log))
	var events []dcb.Event
	for _, e := range m.log[from:min(len(m.log), from+1+m.random.IntN(4))] {
		events = append(events, e.Clone().Event)
	}
	if m.random.IntN(4) == 0 {
		events = append(events, randomEvents(m.random)...)
	}
	return m.append(ctx, events, nil)
}

func (m *modelRun) append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) error {
	before := len(m.log)
	got, err := m.store.Append(ctx, events, condition)
	want, wantErr := m.log.Append(events, condition, time.Time{})
	for _, kind := range []error{dcb.ErrConflict, dcb.ErrDuplicateID} {
		if errors.Is(err, kind) != errors.Is(wantErr, kind) {
			return fmt.Errorf("Append(%+v, %+v) = %d, %w, want %d, %w", events, condition, got, err, want, wantErr)
		}
	}
	if wantErr == nil && (err != nil || got != want) {
		return fmt.Errorf("Append(%+v, %+v) = %d, %w, want %d", events, condition, got, err, want)
	}
	if len(m.log) == before {
		return nil
	}
	result, err := m.store.Read(ctx, dcb.All(), dcb.ReadOptions{After: dcb.Position(before)})
	if err != nil || len(result.Events) != len(m.log)-before {
		return fmt.Errorf("Read after position %d = %d events, %w, want %d", before, len(result.Events), err, len(m.log)-before)
	}
	for i := range result.Events { // the model does not know the time
		m.log[before+i].RecordedAt = result.Events[i].RecordedAt
	}
	return nil
}

func (m *modelRun) read(ctx context.Context) error {
	return checkQuery(ctx, m.store, m.log, m.query(), randomOptions(m.random, m.log.Head()))
}

// query returns a query of a random shape.
func (m *modelRun) query() dcb.Query {
	switch m.random.IntN(8) {
	case 0:
		return dcb.All()
	case 1:
		return dcb.Query{{Types: []string{randomType(m.random)}}}
	case 2:
		return dcb.Query{{Tags: []string{randomTag(m.random)}}}
	case 3: // many items, several of which select the same events
		q := make(dcb.Query, 1+m.random.IntN(20))
		for i := range q {
			q[i] = dcb.QueryItem{Types: randomStrings(m.random, 3, randomType), Tags: randomStrings(m.random, 1, randomTag)}
		}
		return q
	case 4: // matches nothing
		return dcb.Query{{Types: []string{"Z"}}, {Tags: []string{"course:1", "none"}}, {Types: []string{"A", "Z"}, Tags: []string{"student:1"}}}
	default:
		return randomQuery(m.random)
	}
}

func TestStoreHistoriesReopened(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]vfs.FS{"in memory": vfs.NewMem(), "on the disk": vfs.OS()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for range 3 {
				s := open(t, dir, smallSegments(files))
				h, err := history.Workload{Handles: []dcb.Store{s}, Callers: 8, Steps: 60, HangTimeout: hangTimeout}.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = open(t, dir, smallSegments(files))
				if err := h.Verify(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// reopeningStore is a store that is opened again when it has failed.
type reopeningStore struct {
	mu       sync.RWMutex
	store    *diskstore.Store
	opts     *diskstore.Options
	openings atomic.Int64
}

// use calls f with the current store. If the error of f requires it, use opens the store again.
func (r *reopeningStore) use(f func(s *diskstore.Store) error) {
	r.mu.RLock()
	s := r.store
	err := f(s)
	r.mu.RUnlock()
	if !mustReopen(err) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != s {
		return
	}
	_ = s.Close() // it has failed
	for {
		if again, err := diskstore.Open(dir, r.opts); err == nil {
			r.store = again
			r.openings.Add(1)
			return
		}
	}
}

func (r *reopeningStore) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (position dcb.Position, err error) {
	r.use(func(s *diskstore.Store) error {
		position, err = s.Append(ctx, events, condition)
		return err
	})
	return position, err
}

func (r *reopeningStore) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (result dcb.ReadResult, err error) {
	r.use(func(s *diskstore.Store) error {
		result, err = s.Read(ctx, q, opts)
		return nil
	})
	return result, err
}

func (r *reopeningStore) Head(ctx context.Context) (head dcb.Position, err error) {
	r.use(func(s *diskstore.Store) error {
		head, err = s.Head(ctx)
		return nil
	})
	return head, err
}

// Wait waits in short steps, because the store may be replaced meanwhile.
func (r *reopeningStore) Wait(ctx context.Context, after dcb.Position) (head dcb.Position, err error) {
	for ctx.Err() == nil {
		r.use(func(s *diskstore.Store) error {
			short, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			head, err = s.Wait(short, after)
			return nil
		})
		if err == nil || !errors.Is(err, context.DeadlineExceeded) {
			return head, err
		}
	}
	return 0, ctx.Err()
}

func TestStoreHistoriesWithFaults(t *testing.T) {
	t.Parallel()
	// Failures must end: an index file takes more writes than succeed in a row.
	const maxFailures = 30
	for kind, every := range map[vfs.Kind]int64{vfs.Write: 10, vfs.Sync: 10, vfs.Preallocate: 4, "": 37} {
		t.Run("failing: "+string(kind), func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			r := &reopeningStore{opts: smallSegments(mem)}
			r.store = open(t, dir, r.opts)
			var failed, operations atomic.Int64
			mem.Inject(func(op vfs.Op) error {
				if op.Kind != kind && kind != "" || operations.Add(1)%every > 0 || failed.Load() == maxFailures {
					return nil
				}
				failed.Add(1)
				return errInjected
			})
			h, err := history.Workload{Handles: []dcb.Store{r}, Callers: 8, Steps: 80, MayFail: true, HangTimeout: hangTimeout}.Run(t.Context())
			mem.Inject(nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.store.Close(); err != nil && r.openings.Load() == 0 {
				t.Error(err)
			}
			s := open(t, dir, r.opts)
			if err := h.Verify(t.Context(), s); err != nil {
				t.Error(err)
			}
			t.Logf("%d operations failed, the store was opened again %d times, %d events", failed.Load(), r.openings.Load(), len(h.Final))
			if failed.Load() == 0 {
				t.Error("no operation failed")
			}
		})
	}
}
