package bench

import (
	"context"
	"fmt"
	"runtime"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// fillBytes and fillEvents bound one append that fills a store.
const (
	fillBytes  = 8 << 20
	fillEvents = 12_000
)

// FillProgress is called while a store is filled, after each append: with the events that the
// store has and those that it will have.
type FillProgress func(events, total uint64)

// FillSpeedrun appends the events of whole iterations until the store has at least the given
// number.
func FillSpeedrun(ctx context.Context, store dcb.Store, events uint64, progress FillProgress) error {
	head, err := store.Head(ctx)
	newID := serialIDs(runID() + "-fill-")
	defer collectGarbage()
	for err == nil && uint64(head) < events {
		var batch []dcb.Event
		for len(batch) < fillEvents && uint64(head)+uint64(len(batch)) < events {
			batch = append(batch, iteration(newID)...)
		}
		if err := setIDs(batch); err != nil {
			return err
		}
		head, err = store.Append(ctx, batch, nil)
		progress(uint64(head), events)
	}
	return err
}

// collectGarbage removes what filling left on the heap, so that the measurement does not pay for
// it.
func collectGarbage() { runtime.GC() }

// setIDs gives each event the kind of ID that clients give it.
func setIDs(events []dcb.Event) error {
	for i := range events {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		events[i].ID = id
	}
	return nil
}

// eventsPerTag is the number of events of each tag of the select workload.
const eventsPerTag = 10

// FillTags appends that many events with the tags tag0, tag1 …: ten events a tag, far apart. A
// store that was filled before with the same number stays as it is. A store that was filled with
// another number is an error, because its tags do not have ten events.
func FillTags(ctx context.Context, store dcb.Store, events, size int, progress FillProgress) error {
	tags := events / eventsPerTag
	first, err := countTag(ctx, store, 0)
	if err != nil {
		return err
	}
	if first == 0 {
		return fillTags(ctx, store, span{0, tags * eventsPerTag}, tags, size, progress)
	}
	last, err := countTag(ctx, store, tags-1)
	if err != nil {
		return err
	}
	beyond, err := countTag(ctx, store, tags)
	if err != nil {
		return err
	}
	if first != eventsPerTag || last != eventsPerTag || beyond > 0 {
		return fmt.Errorf("bench: the store was filled with another number of events than %d, or only in part; "+
			"use another store or schema", events)
	}
	return nil
}

func countTag(ctx context.Context, store dcb.Store, tag int) (int, error) {
	result, err := store.Read(ctx, dcb.Query{{Tags: []string{tagName(tag)}}}, dcb.ReadOptions{Limit: eventsPerTag + 1})
	return len(result.Events), err
}

// span is a range of event numbers. It includes from and excludes to.
type span struct{ from, to int }

func fillTags(ctx context.Context, store dcb.Store, todo span, tags, size int, progress FillProgress) error {
	defer collectGarbage()
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
		progress(uint64(k), uint64(todo.to))
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
