package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
)

// Settings say what to measure. All numbers but Readers must be positive.
type Settings struct {
	// Workload is append, hot, select, scan, mixed, volume, limit or speedrun.
	Workload string
	// Store is what the report calls the store.
	Store    string
	Clients  int
	Batch    int
	Size     int
	Duration time.Duration
	// Events is how many events the store has at least when the measuring begins.
	Events int
	// Steps are the numbers of events of the volume workload, ascending. Default: 0, the powers of ten from a million that are below Events, and Events.
	Steps []int
	// Readers are those of the mixed workload.
	Readers int
	// Watch is called about every Every while measuring, Filling while the store is being filled.
	Watch   func(Progress)
	Every   time.Duration
	Filling Filling
	// OnDisk returns the size of the store when it is closed. Nil if it is not in a directory.
	OnDisk func() (int64, error)
}

func (s Settings) load(clients int) Load {
	return Load{Clients: clients, Duration: s.Duration, Watch: s.Watch, Every: s.Every}
}

// Run fills the store as the workload wants it and measures. If ctx ends while it measures, the result is that of what was done
// and Interrupted; if it ends before, the error is the context's.
func (s Settings) Run(ctx context.Context, store dcb.Store) (Result, error) {
	if err := s.fill(ctx, store); err != nil {
		return Result{}, err
	}
	result := Result{Workload: s.Workload, Store: s.Store, Clients: s.Clients, Batch: 1, Size: s.Size}
	before, err := store.Head(ctx)
	if err != nil {
		return Result{}, err
	}
	syncs := syncsOf(store)
	if err := s.measure(ctx, store, &result); err != nil {
		return Result{}, err
	}
	if result.DurationSeconds > 0 {
		result.SyncsPerSecond = rounded(float64(syncsOf(store)-syncs)/result.DurationSeconds, 1)
	}
	// The store is asked once more, also if the measuring was interrupted.
	after, err := store.Head(context.WithoutCancel(ctx))
	if err != nil {
		return Result{}, err
	}
	result.EventsAtStart, result.EventsAtEnd = uint64(before), uint64(after)
	result.Interrupted = ctx.Err() != nil
	return result, nil
}

// syncsOf returns how often the store waited for the disk, if it counts that.
func syncsOf(store dcb.Store) int64 {
	if counting, ok := store.(interface{ Metrics() diskstore.Metrics }); ok {
		return counting.Metrics().Syncs
	}
	return 0
}

// Closed tells result how large the store is that it was measured on, and that was closed since.
func (s Settings) Closed(result *Result) error {
	if s.OnDisk == nil {
		return nil
	}
	bytes, err := s.OnDisk()
	if err == nil {
		result.occupies(bytes, result.EventsAtEnd)
	}
	return err
}

func (s Settings) fill(ctx context.Context, store dcb.Store) error {
	switch s.Workload {
	case "select", "mixed":
		return FillTags(ctx, store, s.Events, s.Size, s.Filling)
	case "scan":
		head, err := store.Head(ctx)
		if err != nil || head > 0 && int(head) >= s.Events {
			return err
		}
		return fillTags(ctx, store, span{int(head), s.Events}, max(s.Events/eventsPerTag, 1), s.Size, s.Filling)
	}
	return nil
}

func (s Settings) measure(ctx context.Context, store dcb.Store, result *Result) error {
	var tally Tally
	var err error
	switch s.Workload {
	case "append":
		result.Batch = s.Batch
		tally, err = Measure(ctx, s.load(s.Clients), Append(store, s.Batch, s.Size))
	case "hot":
		result.Batch = s.Batch
		tally, err = Measure(ctx, s.load(s.Clients), Hot(store, s.Batch, s.Size))
	case "select":
		tally, err = Measure(ctx, s.load(s.Clients), Select(store, s.Events))
	case "scan":
		result.Clients = 1
		tally, err = Measure(ctx, s.load(1), Scan(store))
	case "mixed":
		result.Batch, result.Readers = s.Batch, s.Readers
		tally, err = s.mixed(ctx, store, result)
	default:
		return fmt.Errorf("bench: no workload is called %q", s.Workload)
	}
	result.Figures = tally.Figures()
	return err
}

// mixed measures writers and readers that work at once. It returns what both did, and puts what each did into result.
func (s Settings) mixed(ctx context.Context, store dcb.Store, result *Result) (Tally, error) {
	working, stop := context.WithCancel(ctx)
	defer stop()
	type outcome struct {
		tally Tally
		err   error
	}
	read := make(chan outcome, 1)
	go func() {
		quiet := Load{Clients: s.Readers, Duration: s.Duration}
		tally, err := Measure(working, quiet, Select(store, s.Events))
		if err != nil {
			stop()
		}
		read <- outcome{tally, err}
	}()
	writes, err := Measure(working, s.load(s.Clients), Append(store, s.Batch, s.Size))
	if err != nil {
		stop()
	}
	reads := <-read
	if err == nil {
		err = reads.err
	}
	both := writes.and(reads.tally)
	writes.cpu, reads.tally.cpu = 0, 0 // the process does not know which half it worked for
	writeFigures, readFigures := writes.Figures(), reads.tally.Figures()
	result.Writes, result.Reads = &writeFigures, &readFigures
	return both, err
}

// RunSpeedrun fills the store and runs the course-subscription speedrun on it, as Run does with the other workloads. Begin is
// told how many events there are before it starts.
func (s Settings) RunSpeedrun(ctx context.Context, store dcb.Store, begin func(events uint64)) (Result, error) {
	if err := FillSpeedrun(ctx, store, uint64(s.Events), s.Filling); err != nil {
		return Result{}, err
	}
	before, err := store.Head(ctx)
	if err != nil {
		return Result{}, err
	}
	begin(uint64(before))
	load := s.load(s.Clients)
	load.Round = SpeedrunOps
	tally, err := Measure(ctx, load, Speedrun(store))
	if err != nil {
		return Result{}, err
	}
	after, err := store.Head(context.WithoutCancel(ctx))
	if err != nil {
		return Result{}, err
	}
	return Result{
		Workload: "speedrun", Store: s.Store, Clients: s.Clients, Batch: 1,
		Figures: tally.Figures(), Iterations: &tally.Rounds,
		EventsAtStart: uint64(before), EventsAtEnd: uint64(after),
		Interrupted: ctx.Err() != nil,
	}, nil
}
