package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// takes returns an operation of one event that takes d.
func takes(d time.Duration) Operation {
	return func(context.Context) (int, error) {
		time.Sleep(d)
		return 1, nil
	}
}

func TestMeasureCountsEveryOperationOfEveryClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []Progress
		load := Load{
			Clients: 2, Duration: 10 * time.Second, Round: 3,
			// Not a multiple of the operations' durations, so that no operation ends at a tick.
			Every: 2500 * time.Millisecond,
			Watch: func(p Progress) { seen = append(seen, p) },
		}
		slow := []time.Duration{time.Second, 2 * time.Second}
		tally, err := Measure(t.Context(), load, func(n int) Operation { return takes(slow[n]) })
		if err != nil {
			t.Fatal(err)
		}
		if tally.Ops != 15 || tally.Events != 15 || tally.Rounds != 4 || tally.Elapsed != 10*time.Second {
			t.Errorf("Progress = %+v, want 10 and 5 operations, 3 and 1 rounds, in 10 s", tally.Progress)
		}
		if len(seen) < 3 || seen[0].Ops != 3 || seen[0].Elapsed != 2500*time.Millisecond || seen[0].Rounds != 0 {
			t.Errorf("Watch was called with %+v, want 3 operations after 2.5 s first", seen)
		}
		got := tally.Figures()
		if got.Ops != 15 || got.OpsPerSecond != 1.5 || got.DurationSeconds != 10 || got.MaxMicros != 2e6 {
			t.Errorf("Figures() = %+v, want 15 operations in 10 s", got)
		}
		if !approximately(got.P50Micros, 1e6) || !approximately(got.P99Micros, 2e6) || got.P999Micros > got.MaxMicros {
			t.Errorf("Figures() = %+v, want a p50 of 1 s and a p99 of 2 s", got)
		}
	})
}

// approximately allows for the width of the histogram's buckets.
func approximately(got, want float64) bool { return got > want*0.98 && got < want*1.02 }

func TestMeasureFinishesTheOperationUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tally, err := Measure(t.Context(), Load{Duration: time.Second}, func(int) Operation { return takes(time.Minute) })
		if err != nil || tally.Ops != 1 || tally.Elapsed != time.Minute {
			t.Errorf("Measure = %+v, %v, want one operation in a minute", tally.Progress, err)
		}
	})
}

func TestMeasureStopsAllClientsAtAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := Measure(t.Context(), Load{Clients: 3, Duration: time.Hour}, func(n int) Operation {
		return func(ctx context.Context) (int, error) {
			if n == 1 {
				return 0, broken
			}
			<-ctx.Done()
			return 0, ctx.Err()
		}
	})
	if !errors.Is(err, broken) {
		t.Errorf("Measure = %v, want the error of client 1", err)
	}
}

func TestMeasureReturnsNoErrorIfItsContextEnds(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	var ops atomic.Int64
	tally, err := Measure(ctx, Load{Duration: time.Hour}, func(int) Operation {
		return func(ctx context.Context) (int, error) {
			if ops.Add(1) == 10 {
				interrupt()
			}
			return 1, ctx.Err()
		}
	})
	if err != nil || tally.Ops != 9 {
		t.Errorf("Measure = %d operations, %v, want the 9 before the context ended", tally.Ops, err)
	}
}

func TestFillSpeedrunAppendsTheEventsOfSpeedrun(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	next := Speedrun(store)(0)
	for range SpeedrunOps {
		if _, err := next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	measured, err := store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	filled := iteration(serialIDs("x"))
	if len(measured.Events) != SpeedrunOps || len(filled) != SpeedrunOps {
		t.Fatalf("Speedrun appends %d events and iteration has %d, want %d", len(measured.Events), len(filled), SpeedrunOps)
	}
	for i, event := range measured.Events {
		want := filled[i]
		if event.Type != want.Type || len(event.Tags) != len(want.Tags) || string(event.Data) != string(want.Data) {
			t.Errorf("event %d is %+v in Speedrun and %+v in iteration", i, event.Event, want)
		}
	}
}

func TestSpeedrunChecksTheLimits(t *testing.T) {
	t.Parallel()
	run := &speedrun{store: memstore.New(nil), newID: serialIDs("")}
	student, course := newStudent(run.newID), newCourse(run.newID)
	if err := run.join(t.Context(), student, course); err == nil || !strings.Contains(err.Error(), "the limit is 0") {
		t.Errorf("join of a student who is not registered = %v, want an error with the limit", err)
	}
	if err := run.register(t.Context(), student); err != nil {
		t.Fatal(err)
	}
	if err := run.register(t.Context(), student); !errors.Is(err, dcb.ErrConflict) {
		t.Errorf("the second register = %v, want a conflict", err)
	}
	for range SpeedrunCourses {
		course := newCourse(run.newID)
		if err := errors.Join(run.register(t.Context(), course), run.join(t.Context(), student, course)); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.register(t.Context(), course); err != nil {
		t.Fatal(err)
	}
	if err := run.join(t.Context(), student, course); err == nil || !strings.Contains(err.Error(), "the limit is 10") {
		t.Errorf("join number 11 = %v, want an error with the limit", err)
	}
}

func TestFillTagsFillsAStoreOnce(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	quiet := func(uint64, uint64) {}
	if _, err := store.Append(t.Context(), []dcb.Event{{Type: "Other"}}, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := FillTags(t.Context(), store, 30_000, 8, quiet); err != nil {
			t.Fatal(err)
		}
		if head, err := store.Head(t.Context()); head != 30_001 || err != nil {
			t.Errorf("Head = %d, %v, want 30,001", head, err)
		}
	}
	for _, other := range []int{20_000, 60_000} {
		if err := FillTags(t.Context(), store, other, 8, quiet); err == nil {
			t.Errorf("FillTags(%d) on a store that has 30,000 events = nil, want an error", other)
		}
	}
	next := Select(store, 30_000)(0)
	for range 100 {
		if events, err := next(t.Context()); events != eventsPerTag || err != nil {
			t.Fatalf("Select = %d events, %v, want %d", events, err, eventsPerTag)
		}
	}
}

func TestAppendHotAndSpeedrunDoNotConflict(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	for name, workload := range map[string]func(int) Operation{
		"append": Append(store, 3, 8), "hot": Hot(store, 3, 8), "speedrun": Speedrun(store),
	} {
		load := Load{Clients: 4, Duration: 20 * time.Millisecond}
		if tally, err := Measure(t.Context(), load, workload); err != nil || tally.Ops == 0 {
			t.Errorf("%s with 4 clients = %d operations, %v, want some", name, tally.Ops, err)
		}
	}
}

// tags runs the operations in turn and returns the tag of each event that they append.
func tags(t *testing.T, store dcb.Store, operations ...Operation) (tags []string) {
	t.Helper()
	before, err := store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, next := range operations {
		if _, err := next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for event, err := range dcb.Stream(t.Context(), store, dcb.All(), dcb.ReadOptions{After: before}) {
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, event.Tags...)
	}
	return tags
}

func TestAppendUsesATagForTenEventsAndDoesNotSplitABatch(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	clients := Append(store, 4, 8)
	one, other := clients(0), clients(1)
	used := tags(t, store, one, one, one, one)
	if used[0] != used[11] || used[11] == used[12] {
		t.Errorf("Append used the tags %v for 4 × 4 events, want one for 12, then another", used)
	}
	if mixed := tags(t, store, one, other); mixed[0] == mixed[4] {
		t.Errorf("two clients used the tag %s, want two tags", mixed[0])
	}
}

func TestHotUsesOneTagForAllClients(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	clients := Hot(store, 1, 8)
	one, other := clients(0), clients(1)
	if used := tags(t, store, one, other, other, one); len(slices.Compact(used)) != 1 {
		t.Errorf("Hot used the tags %v, want one", used)
	}
}

func TestVolumeStepsArePowersOfTen(t *testing.T) {
	t.Parallel()
	for events, want := range map[int][]int{
		5_000:      {0, 5_000},
		1_000_000:  {0, 1_000_000},
		25_000_000: {0, 1_000_000, 10_000_000, 25_000_000},
	} {
		if got := volumeSteps(events); !slices.Equal(got, want) {
			t.Errorf("volumeSteps(%d) = %v, want %v", events, got, want)
		}
	}
}

// BenchmarkSpeedrun compares decisions on an empty store with decisions on a million events.
func BenchmarkSpeedrun(b *testing.B) {
	for name, events := range map[string]uint64{"empty": 0, "million": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			store := memstore.New(nil)
			if err := FillSpeedrun(b.Context(), store, events, func(uint64, uint64) {}); err != nil {
				b.Fatal(err)
			}
			next := Speedrun(store)(0)
			for b.Loop() {
				if _, err := next(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
