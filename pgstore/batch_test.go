package pgstore

import (
	"testing"

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

// The largest appends, small in bytes, must not keep everybody waiting while the batch is put together: as many comparisons as these take a moment, and
// the square of the limits is as many as take minutes.
func TestLargeAppendsAreSoonGathered(t *testing.T) {
	t.Parallel()
	const most = 10_000_000
	sizes := []int{1, 100, 2000, dcb.MaxEvents}
	gathered := 0
	for _, events := range sizes {
		for _, items := range sizes {
			next := &request{events: make([]dcb.Event, events), query: make(dcb.Query, items)}
			batch := []*request{next}
			comparisons := 0
			for before := 0; len(batch) < 1000 && fits(batch, next); batch = append(batch, next) {
				before += events
				comparisons += items * before
			}
			if comparisons > most {
				t.Errorf("a batch of %d appends of %d events under %d items takes %d comparisons", len(batch), events, items, comparisons)
			}
			gathered = max(gathered, len(batch))
		}
	}
	if gathered < 100 {
		t.Errorf("no batch has more than %d appends", gathered)
	}
}
