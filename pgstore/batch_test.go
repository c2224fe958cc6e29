package pgstore

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

func TestARequestSharesNothingWithItsCaller(t *testing.T) {
	t.Parallel()
	events := []dcb.Event{{Type: "Happened", Tags: []string{"a"}}}
	condition := &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Types: []string{"Happened"}, Tags: []string{"a"}}}}
	r, err := newRequest(events, condition)
	if err != nil {
		t.Fatal(err)
	}
	// A caller whose context ended is free to do this while the batch is still on its way.
	events[0].Tags[0] = "b"
	condition.FailIfEventsMatch[0].Types[0], condition.FailIfEventsMatch[0].Tags[0] = "Other", "b"
	if !r.query.Matches(r.events[0]) {
		t.Errorf("the request changed with what its caller gave: %+v, %+v", r.events, r.query)
	}
}

// The largest appends, small in bytes, must not keep everybody waiting while the batch is put together.
func TestLargeAppendsAreSoonGathered(t *testing.T) {
	t.Parallel()
	largest := func() *request {
		events := make([]dcb.Event, dcb.MaxEvents)
		for i := range events {
			events[i] = dcb.Event{Type: "A", ID: uuid.New(), Tags: []string{"hot"}}
		}
		items := make(dcb.Query, dcb.MaxQueryItems)
		for i := range items {
			items[i] = dcb.QueryItem{Types: []string{"B"}, Tags: []string{"hot"}}
		}
		r, err := newRequest(events, &dcb.AppendCondition{FailIfEventsMatch: items})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	waiting := []*request{largest(), largest(), largest()}
	began := time.Now()
	batch := waiting[:1]
	for _, next := range waiting[1:] {
		if !fits(batch, next) {
			break
		}
		batch = append(batch, next)
	}
	pairs(batch)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v to put a batch of %d together", took, len(batch))
	}
}
