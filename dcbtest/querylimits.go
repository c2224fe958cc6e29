package dcbtest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

func queryLimitCases() []Case {
	return []Case{
		{
			Name: "limits/a query has items",
			Rule: "An empty Query (nil or no items) is refused with ErrInvalidQuery.",
			Run: func(t *T) {
				t.append(event("T"))
				t.refusedQuery(nil, "", 0)
				t.refusedQuery(dcb.Query{}, "", 0)
			},
		},
		{
			Name: "limits/types and tags of a query have no more bytes than those of an event",
			Rule: "A type has 1 to 256 bytes, a tag 1 to 1,024.",
			Run: func(t *T) {
				eventType, tag := strings.Repeat("t", dcb.MaxTypeBytes), strings.Repeat("t", dcb.MaxTagBytes)
				t.append(event(eventType, tag))
				t.selects(dcb.Query{{Types: []string{eventType}, Tags: []string{tag}}}, 1)
				t.refusedQuery(typed("T", eventType+"t"), "[0].Types[1]", dcb.MaxTypeBytes)
				t.refusedQuery(dcb.Query{{}, {Tags: []string{"a", tag + "t"}}}, "[1].Tags[1]", dcb.MaxTagBytes)
			},
		},
		{
			Name: "limits/types and tags of a query are valid text",
			Rule: "Types and tags have at least one byte and are valid UTF-8 without NUL.",
			Run: func(t *T) {
				for _, text := range []string{"", "\xff", "a\x00b", "\x00"} {
					t.refusedQuery(typed("a", text), "[0].Types[1]", 0)
					t.refusedQuery(dcb.Query{{}, {Tags: []string{text}}}, "[1].Tags[0]", 0)
				}
			},
		},
		{
			Name:  "limits/as many items as a query may have",
			Rule:  "At most 65,536 query items.",
			Large: true,
			Run: func(t *T) {
				t.append(event("T", "n:0"), event("T", "other"), event("U", "n:65535"))
				q := make(dcb.Query, dcb.MaxQueryItems)
				for i := range q {
					q[i].Tags = []string{fmt.Sprintf("n:%d", i)}
				}
				t.selects(q, 1, 3)
				if conflict := t.conflicts(q, 1, event("T")); conflict.Position != 3 {
					t.Errorf("the conflict is said to be with position %d, want 3", conflict.Position)
				}
				t.appendIf(q, 3, event("T"))
			},
		},
		{
			Name: "limits/one item more than a query may have",
			Rule: "At most 65,536 query items.",
			Run: func(t *T) {
				t.refusedQuery(make(dcb.Query, dcb.MaxQueryItems+1), "", dcb.MaxQueryItems)
			},
		},
		{
			Name:  "limits/as many bytes as a query may have",
			Rule:  "At most 64 MiB a query: types and tags of all its items.",
			Large: true,
			Run: func(t *T) {
				q := widest()
				t.append(event("T", "other"), event("T", q[7].Tags...), event("T", q[8].Tags[:15]...))
				if result := t.read(q, dcb.ReadOptions{}); len(result.Events) != 1 || result.Events[0].Position != 2 {
					t.Errorf("it selects %v, want 2", positions(result.Events))
				}
			},
		},
		{
			Name: "limits/one byte more than a query may have",
			Rule: "At most 64 MiB a query: types and tags of all its items.",
			Run: func(t *T) {
				q := widest()
				q[0].Types = []string{"T"}
				t.refusedQuery(q, "", dcb.MaxQueryBytes)
			},
		},
	}
}

// refusedQuery expects a query to be refused, for a place in it and a limit, in a read and in a condition.
func (t *T) refusedQuery(q dcb.Query, place string, limit int) {
	_, err := t.Store.Read(t.ctx, q, dcb.ReadOptions{})
	t.wantInvalid(err, "query"+place, limit)
	if !errors.Is(err, dcb.ErrInvalidQuery) {
		t.Errorf("Read(%s): got error %v, want ErrInvalidQuery", describe.Query(q), err)
	}
	err = t.refused(dcb.ErrInvalidQuery, &dcb.AppendCondition{FailIfEventsMatch: q}, event("T"))
	t.wantInvalid(err, "condition.FailIfEventsMatch"+place, limit)
}

// widest returns a query of exactly as many bytes as a query may have, all tags different.
func widest() dcb.Query {
	const tags = 16
	zeros := strings.Repeat("0", dcb.MaxTagBytes-8)
	q := make(dcb.Query, dcb.MaxQueryBytes/dcb.MaxTagBytes/tags)
	for i := range q {
		for j := range tags {
			q[i].Tags = append(q[i].Tags, zeros+fmt.Sprintf("%08d", i*tags+j))
		}
	}
	return q
}
