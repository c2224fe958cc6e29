package bench

import (
	"context"
	"fmt"
	"runtime"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// fillBytes and fillEvents bound one append of those that fill a store.
const (
	fillBytes  = 8 << 20
	fillEvents = 12_000
)

// Filling is told how far the filling of a store got: events of those wanted.
type Filling func(events, wanted uint64)

// FillSpeedrun records events as those of the speedrun until the store has at least that many.
func FillSpeedrun(ctx context.Context, store dcb.Store, events uint64, told Filling) error {
	head, err := store.Head(ctx)
	newID := serialIDs(runID() + "-fill-")
	defer collect()
	for err == nil && uint64(head) < events {
		var batch []dcb.Event
		for len(batch) < fillEvents && uint64(head)+uint64(len(batch)) < events {
			batch = append(batch, iteration(newID)...)
		}
		if err := giveIDs(batch); err != nil {
			return err
		}
		head, err = store.Append(ctx, batch, nil)
		told(uint64(head), events)
	}
	return err
}

// collect takes the garbage of the filling away, so that it does not weigh upon what is measured.
func collect() { runtime.GC() }

// giveIDs gives the events what they have when clients record them.
func giveIDs(events []dcb.Event) error {
	for i := range events {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		events[i].ID = id
	}
	return nil
}

// eventsPerTag is how many events each tag of the select workload has.
const eventsPerTag = 10

// FillTags sees to it that the store has that many events under the tags tag0, tag1 …, ten to a tag and far apart. It does
// nothing if they are there, and fails if others are, for then a tag would not have ten.
func FillTags(ctx context.Context, store dcb.Store, events, size int, told Filling) error {
	tags := events / eventsPerTag
	first, err := countTag(ctx, store, 0)
	if err != nil {
		return err
	}
	if first > 0 {
		last, err := countTag(ctx, store, tags-1)
		if err != nil {
			return err
		}
		beyond, err := countTag(ctx, store, tags)
		if err != nil {
			return err
		}
		if first != eventsPerTag || last != eventsPerTag || beyond > 0 {
			return fmt.Errorf("the store was filled for another number of events than %d, or not to the end; use a store, or a schema, of its own", events)
		}
		return nil
	}
	return fillTags(ctx, store, span{0, tags * eventsPerTag}, tags, size, told)
}

func countTag(ctx context.Context, store dcb.Store, tag int) (int, error) {
	result, err := store.Read(ctx, dcb.Query{{Tags: []string{tagName(tag)}}}, dcb.ReadOptions{Limit: eventsPerTag + 1})
	return len(result.Events), err
}

// span is a range of event numbers, from up to but without to.
type span struct{ from, to int }

func fillTags(ctx context.Context, store dcb.Store, todo span, tags, size int, told Filling) error {
	defer collect()
	data := payload(size)
	batch := make([]dcb.Event, 0, min(fillEvents, max(fillBytes/(size+64), 1)))
	for k := todo.from; k < todo.to; {
		batch = batch[:0]
		for ; k < todo.to && len(batch) < cap(batch); k++ {
			batch = append(batch, dcb.Event{
				Type: fmt.Sprintf("Type%d", k%20),
				Tags: []string{tagName(k % tags)},
				Data: data,
			})
		}
		if _, err := store.Append(ctx, batch, nil); err != nil {
			return err
		}
		told(uint64(k), uint64(todo.to))
	}
	return nil
}

func tagName(n int) string { return fmt.Sprintf("tag%d", n) }

func payload(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = 7
	}
	return data
}
