package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/dcbstore/dcb"
)

const eventType = "Thing"

// Append returns the clients of the append workload. Each client appends batches of events with a
// tag of its own, which it uses for ten events. The condition is that no other client used the
// tag.
func Append(store dcb.Store, batch, size int) func(n int) Operation {
	run := runID()
	return func(n int) Operation {
		newTag := serialIDs(fmt.Sprintf("t%s-%d-", run, n))
		request, used, after := newRequest(batch, size), eventsPerTag, dcb.Position(0)
		return func(ctx context.Context) (int, error) {
			if used >= eventsPerTag {
				used = 0
				request.setTag(newTag())
			}
			used += batch
			last, err := store.Append(ctx, request.events, request.condition(after))
			after = last
			return batch, err
		}
	}
}

// Hot returns the clients of the hot workload. They append as in [Append], but all with one tag.
// No append conflicts, because the After of each condition is beyond the head.
func Hot(store dcb.Store, batch, size int) func(n int) Operation {
	// Beyond every event that other clients append while the call is under way.
	const beyond = dcb.Position(1) << 40
	tag := "t" + runID()
	return func(int) Operation {
		request := newRequest(batch, size)
		request.setTag(tag)
		return func(ctx context.Context) (int, error) {
			_, err := store.Append(ctx, request.events, request.condition(beyond))
			return batch, err
		}
	}
}

// request is what one client appends. The client reuses its memory for every call, because a
// store retains no argument of Append.
type request struct {
	tags   []string
	events []dcb.Event
	guard  dcb.AppendCondition
}

func newRequest(batch, size int) *request {
	r := &request{tags: make([]string, 1), events: make([]dcb.Event, batch)}
	data := payload(size)
	for i := range r.events {
		r.events[i] = dcb.Event{Type: eventType, Tags: r.tags, Data: data}
	}
	r.guard.FailIfEventsMatch = dcb.Query{{Types: []string{eventType}, Tags: r.tags}}
	return r
}

func (r *request) setTag(tag string) { r.tags[0] = tag }

func (r *request) condition(after dcb.Position) *dcb.AppendCondition {
	r.guard.After = after
	return &r.guard
}

// Select returns the clients of the select workload, for a store that [FillTags] filled. An
// operation reads the ten events of one tag, which is drawn at random.
func Select(store dcb.Store, events int) func(n int) Operation {
	tags := events / eventsPerTag
	return func(n int) Operation {
		random := rand.New(rand.NewPCG(uint64(n), rand.Uint64()))
		return func(ctx context.Context) (int, error) {
			tag := "tag" + strconv.Itoa(random.IntN(tags))
			result, err := store.Read(ctx, dcb.Query{{Tags: []string{tag}}}, dcb.ReadOptions{})
			if err == nil && len(result.Events) != eventsPerTag {
				err = fmt.Errorf("bench: select: %s has %d events, want %d", tag, len(result.Events), eventsPerTag)
			}
			return len(result.Events), err
		}
	}
}

// Scan returns the client of the scan workload. An operation streams all events of the store.
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
