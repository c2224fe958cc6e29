package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
)

// Settings select a workload and its parameters. All numbers except Readers must be positive.
type Settings struct {
	// Workload is append, hot, select, scan, mixed, volume, limit or speedrun.
	Workload string
	// Store is the store's name in the report.
	Store    string
	Clients  int
	Batch    int // events per append
	Size     int // bytes of data per event
	Duration time.Duration
	// Events is the least number of events that the store has when the measurement starts.
	Events int
	// Steps are the numbers of events of the volume workload, ascending. Default 0, the powers of
	// ten from a million to below Events, and Events.
	Steps []int
	// Readers is the number of readers of the mixed workload.
	Readers int
	// Watch is called every Every during the measurement.
	Watch func(Progress)
	Every time.Duration
	// Filling is called while the store is filled.
	Filling FillProgress
	// OnDisk returns the bytes of the closed store on disk. Default nil: the store is not in a
	// directory.
	OnDisk func() (int64, error)
}

func (s Settings) load(clients int) Load {
	return Load{Clients: clients, Duration: s.Duration, Watch: s.Watch, Every: s.Every}
}

// Run fills the store for the workload and measures. If ctx ends during the measurement, the
// result has Interrupted set and the figures of the finished operations. If ctx ends before, Run
// returns its error.
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
	// An interrupted measurement has a result, too, so the context must not stop this call.
	after, err := store.Head(context.WithoutCancel(ctx))
	if err != nil {
		return Result{}, err
	}
	result.EventsAtStart, result.EventsAtEnd = uint64(before), uint64(after)
	result.Interrupted = ctx.Err() != nil
	return result, nil
}

// syncsOf returns the number of syncs of a store in a directory, and 0 for other stores.
func syncsOf(store dcb.Store) int64 {
	if counting, ok := store.(interface{ Metrics() diskstore.Metrics }); ok {
		return counting.Metrics().Syncs
	}
	return 0
}

// AddBytesOnDisk adds the size of the store to the result. The store must be closed.
func (s Settings) AddBytesOnDisk(result *Result) error {
	if s.OnDisk == nil {
		return nil
	}
	bytes, err := s.OnDisk()
	if err == nil {
		result.setBytesOnDisk(bytes, result.EventsAtEnd)
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
		return fmt.Errorf("bench: unknown workload %q", s.Workload)
	}
	result.Figures = tally.Figures()
	return err
}

// mixed measures writers and readers that work concurrently. It returns the sum of both, and sets
// the two halves in result.
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
	both := writes.plus(reads.tally)
	writes.cpu, reads.tally.cpu = 0, 0 // processor time is of the process, and so of both halves
	writeFigures, readFigures := writes.Figures(), reads.tally.Figures()
	result.Writes, result.Reads = &writeFigures, &readFigures
	return both, err
}

// RunSpeedrun is [Settings.Run] for the course-subscription speedrun. It calls onStart after it
// filled the store, with the number of events that the store has then.
func (s Settings) RunSpeedrun(ctx context.Context, store dcb.Store, onStart func(events uint64)) (Result, error) {
	if err := FillSpeedrun(ctx, store, uint64(s.Events), s.Filling); err != nil {
		return Result{}, err
	}
	before, err := store.Head(ctx)
	if err != nil {
		return Result{}, err
	}
	onStart(uint64(before))
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
