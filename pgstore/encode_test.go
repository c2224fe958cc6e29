package pgstore

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/pgtest"
)

func TestArrayTextIsReadByPostgreSQLAsItWasMeant(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, elements := range [][]string{
		{},
		{"a"},
		{"a", "b"},
		{`"`, `\`, `\"`, `a"b\c`, `\\`, `""`},
		{"{", "}", ",", "{}", "NULL", "null", " ", "\t\n", "'", "''", "%", "é", "日本", "e\u0301"},
	} {
		var got []string
		if err := conn.QueryRow(t.Context(), "SELECT $1::text::text[]", arrayText(elements)).Scan(&got); err != nil {
			t.Errorf("%q: %v", elements, err)
		}
		if !slices.Equal(got, elements) {
			t.Errorf("%q came back as %q", elements, got)
		}
	}
}

func TestItemsWithMoreTagsThanAnyEventAreNotSent(t *testing.T) {
	t.Parallel()
	tags := make([]string, dcb.MaxTags+1)
	for i := range tags {
		tags[i] = fmt.Sprint("tag", i)
	}
	repeated := append(tags[:dcb.MaxTags:dcb.MaxTags], tags[0])
	if sent := encode(dcb.Query{{Tags: tags}, {Tags: repeated}}); len(sent.tags) != 1 {
		t.Errorf("%d items are sent; want the second only", len(sent.tags))
	}
}

func TestPairsAreThoseThatComparingEachWithEachFinds(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	few := func(prefix string, n int) (some []string) {
		for i := range n {
			if random.IntN(3) == 0 {
				some = append(some, fmt.Sprint(prefix, i))
			}
		}
		return some
	}
	found := 0
	for range 300 {
		batch := make([]*request, 1+random.IntN(12))
		for i := range batch {
			batch[i] = &request{}
			for range 1 + random.IntN(4) {
				batch[i].events = append(batch[i].events, dcb.Event{Type: fmt.Sprint("type", random.IntN(3)), Tags: few("tag", 4)})
			}
			for range random.IntN(3) {
				batch[i].query = append(batch[i].query, dcb.QueryItem{Types: few("type", 3), Tags: few("tag", 4)})
			}
		}
		got, want := effect(pairs(batch)), effect(pairsByComparingAll(batch))
		if !slices.Equal(got, want) {
			t.Fatalf("pairs are %v; want %v", got, want)
		}
		found += len(want)
	}
	if found == 0 {
		t.Error("no batch had a pair")
	}
}

// effect keeps of the pairs of the same two appends the one that decides, and sorts.
func effect(pairs []pair) []pair {
	last := make(map[pair]pair)
	for _, p := range pairs {
		key := pair{append: p.append, with: p.with}
		if q, ok := last[key]; !ok || q.offset < p.offset {
			last[key] = p
		}
	}
	var deciding []pair
	for _, p := range last {
		deciding = append(deciding, p)
	}
	slices.SortFunc(deciding, func(a, b pair) int { return a.append*1000 + a.with - b.append*1000 - b.with })
	return deciding
}

func pairsByComparingAll(batch []*request) (found []pair) {
	for i, r := range batch {
		for j, earlier := range batch[:i] {
			for offset, event := range earlier.events {
				if r.query.Matches(event) {
					found = append(found, pair{append: i, with: j, offset: offset})
				}
			}
		}
	}
	return found
}

func TestARequestSharesNoMemoryWithItsCaller(t *testing.T) {
	t.Parallel()
	// A caller whose context ended goes on with its own while its append is still under way.
	events := []dcb.Event{{Type: "A", Tags: []string{"x"}, Data: []byte("d"), Metadata: map[string]string{"k": "v"}}}
	condition := &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}}}
	r, err := newRequest(events, condition)
	if err != nil {
		t.Fatal(err)
	}
	events[0].Tags[0], events[0].Data[0], events[0].Metadata["k"] = "changed", '!', "changed"
	condition.FailIfEventsMatch[0].Types[0], condition.FailIfEventsMatch[0].Tags[0] = "changed", "changed"
	wantEvents := []dcb.Event{{Type: "A", Tags: []string{"x"}, Data: []byte("d"), Metadata: map[string]string{"k": "v"}}}
	if !reflect.DeepEqual(r.events, wantEvents) {
		t.Errorf("the events changed with what the caller did: %+v", r.events)
	}
	if want := (dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}}); !reflect.DeepEqual(r.query, want) {
		t.Errorf("the query changed with what the caller did: %+v", r.query)
	}
}
