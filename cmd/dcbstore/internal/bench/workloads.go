package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/dcbstore/dcb"
)

const eventType = "Thing"

// Append returns the clients of the append workload: conditional appends of batch events with a tag that is the client's own
// and is used for ten events, on the condition that nobody else used it.
func Append(store dcb.Store, batch, size int) func(n int) Operation {
	run := runID()
	return func(n int) Operation {
		newTag := serialIDs(fmt.Sprintf("t%s-%d-", run, n))
		thing, used, after := newThing(batch, size), eventsPerTag, dcb.Position(0)
		return func(ctx context.Context) (int, error) {
			if used >= eventsPerTag {
				used = 0
				thing.tag(newTag())
			}
			used += batch
			last, err := store.Append(ctx, thing.events, thing.condition(after))
			after = last
			return batch, err
		}
	}
}

// Hot returns the clients of the hot workload: as Append, but all of them use one tag. Nothing conflicts, as their conditions look at
// nothing before or beyond what the others are recording.
func Hot(store dcb.Store, batch, size int) func(n int) Operation {
	// After the head, and after whatever the others append while the call is under way.
	const beyond = dcb.Position(1) << 40
	tag := "t" + runID()
	return func(int) Operation {
		thing := newThing(batch, size)
		thing.tag(tag)
		return func(ctx context.Context) (int, error) {
			_, err := store.Append(ctx, thing.events, thing.condition(beyond))
			return batch, err
		}
	}
}

// thing is what one client appends. Its memory is used again and again: a store keeps nothing of what it is given.
type thing struct {
	tags   []string
	events []dcb.Event
	guard  dcb.AppendCondition
}

func newThing(batch, size int) *thing {
	t := &thing{tags: make([]string, 1), events: make([]dcb.Event, batch)}
	data := payload(size)
	for i := range t.events {
		t.events[i] = dcb.Event{Type: eventType, Tags: t.tags, Data: data}
	}
	t.guard.FailIfEventsMatch = dcb.Query{{Types: []string{eventType}, Tags: t.tags}}
	return t
}

func (t *thing) tag(tag string) { t.tags[0] = tag }

func (t *thing) condition(after dcb.Position) *dcb.AppendCondition {
	t.guard.After = after
	return &t.guard
}

// Select returns the clients of the select workload on a store that [FillTags] filled: each reads the ten events of one of its tags, at
// random.
func Select(store dcb.Store, events int) func(n int) Operation {
	tags := events / eventsPerTag
	return func(n int) Operation {
		random := rand.New(rand.NewPCG(uint64(n), rand.Uint64()))
		return func(ctx context.Context) (int, error) {
			tag := "tag" + strconv.Itoa(random.IntN(tags))
			result, err := store.Read(ctx, dcb.Query{{Tags: []string{tag}}}, dcb.ReadOptions{})
			if err == nil && len(result.Events) != eventsPerTag {
				err = fmt.Errorf("%s has %d events, and not %d", tag, len(result.Events), eventsPerTag)
			}
			return len(result.Events), err
		}
	}
}

// Scan returns the client of the scan workload: an operation streams everything that is recorded.
func Scan(store dcb.Store) func(n int) Operation {
	return func(int) Operation {
		return func(ctx context.Context) (int, error) {
			events := 0
			for _, err := range dcb.Stream(ctx, store, dcb.All(), dcb.ReadOptions{}) {
				if err != nil {
					return events, err
				}
				events++
			}
			return events, nil
		}
	}
}
