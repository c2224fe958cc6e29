package dcbhttp

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/dcbstore/dcb"
)

// These are the checks of the public suite for Dynamic Consistency Boundaries, on every store.
// Conditions hold under parallel writes, positions rise, and unrelated writers do not conflict.

type suiteAppended struct {
	DurationInMicroseconds *float64
	AppendConditionFailed  *bool
}

type suiteEvent struct {
	Type, Data string
	Tags       []string
	Position   *uint64
}

func (s *served) suiteAppend(t *testing.T, body any) (failed bool) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	response, answer := s.send(t, "POST", "/append", string(text), "Content-Type", "application/json")
	var a suiteAppended
	if err := json.Unmarshal([]byte(answer), &a); err != nil || response.StatusCode != http.StatusOK || a.DurationInMicroseconds == nil || a.AppendConditionFailed == nil {
		t.Fatalf("%v: %d %s", err, response.StatusCode, answer)
	}
	return *a.AppendConditionFailed
}

func (s *served) suiteRead(t *testing.T, query, options any) (events []suiteEvent) {
	t.Helper()
	q, err := json.Marshal(query)
	if err != nil {
		t.Fatal(err)
	}
	o, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	response, answer := s.send(t, "GET", "/read?"+url.Values{"query": {string(q)}, "options": {string(o)}}.Encode(), "")
	if err := json.Unmarshal([]byte(answer), &events); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v: %d %s", err, response.StatusCode, answer)
	}
	return events
}

type object = map[string]any

func eachKind(t *testing.T, test func(t *testing.T, server *served)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			store, _ := kind.open(t)
			test(t, serve(t, store, nil, true))
		})
	}
}

func together(n int, f func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { f(i) })
	}
	group.Wait()
}

// Every writer reads with a random query, and appends an event on the condition that nothing new
// matches the query. Then no event that matches lies between what a writer read and what it
// wrote.
func TestAppendConditionHoldsUnderParallelWrites(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, server *served) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		together(8, func(i int) {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := range 30 {
				types, tags := []string{"Type1", "Type2", "Type3"}, []string{"tag:1", "tag:2", "tag:3"}
				items := []object{}
				for range random.IntN(4) {
					items = append(items, object{"types": types[random.IntN(3):][:1], "tags": tags[random.IntN(3):][:1]})
				}
				query := object{"items": items}
				after := uint64(0)
				if last := server.suiteRead(t, query, object{"backwards": true, "limit": 1}); len(last) > 0 {
					after = *last[0].Position
				}
				decision, err := json.Marshal(object{"query": query, "after": after, "writer": fmt.Sprint(i, ".", n)})
				if err != nil {
					t.Error(err)
				}
				server.suiteAppend(t, object{
					"events":    []object{{"type": types[random.IntN(3)], "tags": []string{tags[random.IntN(3)]}, "data": string(decision)}},
					"condition": object{"failIfEventsMatch": query, "after": after},
				})
			}
		})
		all := server.suiteRead(t, object{"items": []any{}}, object{})
		if len(all) == 0 {
			t.Error("no append succeeded")
		}
		for i, e := range all {
			if *e.Position != uint64(i+1) {
				t.Fatalf("event %d has position %d", i, *e.Position)
			}
			var decision struct {
				Query struct{ Items []dcb.QueryItem }
				After uint64
			}
			if err := json.Unmarshal([]byte(e.Data), &decision); err != nil {
				t.Fatal(err)
			}
			query := dcb.Query(decision.Query.Items)
			if len(query) == 0 {
				query = dcb.All()
			}
			for _, between := range all[decision.After:i] {
				if query.Matches(dcb.Event{Type: between.Type, Tags: between.Tags}) {
					t.Errorf("event %d was recorded although event %d matches its condition", *e.Position, *between.Position)
				}
			}
		}
	})
}

// A reader of the newest event, beside writers, never sees a lower position than before, nor a
// gap that is filled later.
func TestReadPositionsRiseWithoutGaps(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, server *served) {
		writers, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			seen := uint64(0)
			for {
				last := server.suiteRead(t, object{}, object{"backwards": true, "limit": 1})
				if len(last) > 0 {
					if *last[0].Position < seen {
						t.Errorf("position %d after %d", *last[0].Position, seen)
					}
					seen = *last[0].Position
				}
				if n := len(server.suiteRead(t, object{}, object{"to": seen})); seen > 0 && uint64(n) != seen {
					t.Errorf("%d events up to position %d", n, seen)
				}
				select {
				case <-writers:
					return
				default:
				}
			}
		}()
		together(6, func(i int) {
			for range 20 {
				events := []object{{"type": "A", "tags": []string{fmt.Sprint("w:", i)}, "data": "{}"}, {"type": "B", "data": "{}"}}
				if server.suiteAppend(t, object{"events": events}) {
					t.Error("an append without a condition failed with a conflict")
				}
			}
		})
		close(writers)
		<-done
		all := server.suiteRead(t, object{}, object{})
		for i, e := range all {
			if *e.Position != uint64(i+1) || i%2 == 0 && e.Type != "A" || i%2 == 1 && e.Type != "B" {
				t.Fatalf("at %d: position %d, type %s", i, *e.Position, e.Type)
			}
		}
		if len(all) != 6*20*2 {
			t.Errorf("%d events", len(all))
		}
	})
}

// Writers whose conditions have tags of their own never conflict.
func TestAppendsOfUnrelatedWritersNeverConflict(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, server *served) {
		together(16, func(i int) {
			query := object{"items": []object{{"types": []string{"A"}, "tags": []string{fmt.Sprint("writer:", i)}}}}
			for n := range 10 {
				read := server.suiteRead(t, query, object{})
				if len(read) != n {
					t.Errorf("writer %d reads %d events, want %d", i, len(read), n)
				}
				condition := object{"failIfEventsMatch": query}
				if n > 0 {
					condition["after"] = read[n-1].Position
				}
				event := object{"type": "A", "tags": []string{fmt.Sprint("writer:", i)}, "data": fmt.Sprint(n)}
				if server.suiteAppend(t, object{"events": []object{event}, "condition": condition}) {
					t.Errorf("writer %d: append %d failed with a conflict", i, n)
				}
			}
		})
	})
}
