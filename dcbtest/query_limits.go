package dcbtest

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// queryLimitCases check the limits of queries and read options, in Read and in Append.
func queryLimitCases() []Case {
	return []Case{
		{
			Name: "Query limits/at least one item",
			Rule: ruleEmptyQuery,
			Run: func(t *T) {
				t.append(event("T"))
				t.queryInvalid(nil, "", 0)
				t.queryInvalid(dcb.Query{}, "", 0)
			},
		},
		{
			Name: "Query limits/type and tag bytes",
			Rule: ruleTypeLimit + " " + ruleTagLimit + " " + ruleLimits,
			Run: func(t *T) {
				eventType, tag := strings.Repeat("t", dcb.MaxTypeBytes), strings.Repeat("t", dcb.MaxTagBytes)
				t.append(event(eventType, tag))
				t.selects(dcb.Query{{Types: []string{eventType}, Tags: []string{tag}}}, 1)
				t.queryInvalid(typed("T", eventType+"t"), "[0].Types[1]", dcb.MaxTypeBytes)
				t.queryInvalid(dcb.Query{{}, {Tags: []string{"a", tag + "t"}}}, "[1].Tags[1]", dcb.MaxTagBytes)
			},
		},
		{
			Name: "Query limits/text is valid and not empty",
			Rule: ruleText + " " + ruleEmptyValue,
			Run: func(t *T) {
				for _, text := range []string{"", "\xff", "a\x00b", "\x00"} {
					t.queryInvalid(typed("a", text), "[0].Types[1]", 0)
					t.queryInvalid(dcb.Query{{}, {Tags: []string{text}}}, "[1].Tags[0]", 0)
				}
			},
		},
		{
			Name:  "Query limits/the greatest number of items",
			Rule:  ruleQueryLimit,
			Large: true,
			Run: func(t *T) {
				t.append(event("T", "n:0"), event("T", "other"), event("U", "n:65535"))
				q := make(dcb.Query, dcb.MaxQueryItems)
				for i := range q {
					q[i].Tags = []string{fmt.Sprintf("n:%d", i)}
				}
				t.selects(q, 1, 3)
				if conflict := t.appendConflicts(q, 1, event("T")); conflict.Position != 3 {
					t.Errorf("ConflictError.Position = %d, want 3", conflict.Position)
				}
				t.appendIf(q, 3, event("T"))
			},
		},
		{
			Name: "Query limits/one item too many",
			Rule: ruleQueryLimit + " " + ruleLimits,
			Run: func(t *T) {
				t.queryInvalid(make(dcb.Query, dcb.MaxQueryItems+1), "", dcb.MaxQueryItems)
			},
		},
		{
			Name:  "Query limits/the greatest number of bytes",
			Rule:  ruleQueryLimit,
			Large: true,
			Run: func(t *T) {
				q := largestQuery()
				t.append(event("T", "other"), event("T", q[7].Tags...), event("T", q[8].Tags[:15]...))
				if result := t.read(q, dcb.ReadOptions{}); len(result.Events) != 1 || result.Events[0].Position != 2 {
					t.Errorf("Read returned positions %v, want 2", positions(result.Events))
				}
			},
		},
		{
			Name: "Query limits/one byte too many",
			Rule: ruleQueryLimit + " " + ruleLimits,
			Run: func(t *T) {
				q := largestQuery()
				q[0].Types = []string{"T"}
				t.queryInvalid(q, "", dcb.MaxQueryBytes)
			},
		},
		{
			Name: "Read/fails for a negative Limit",
			Rule: ruleLimit + " " + ruleLimits,
			Run: func(t *T) {
				t.append(event("T"))
				for _, limit := range []int{-1, math.MinInt} {
					_, err := t.Store.Read(t.ctx, dcb.All(), dcb.ReadOptions{Limit: limit})
					t.wantInvalid(err, "options.Limit", 0)
				}
			},
		},
	}
}

// queryInvalid checks that Read and Append fail with ErrInvalidQuery for q. The error must name the
// field at the path below the query, and the limit.
func (t *T) queryInvalid(q dcb.Query, path string, limit int) {
	_, err := t.Store.Read(t.ctx, q, dcb.ReadOptions{})
	t.wantInvalid(err, "query"+path, limit)
	if !errors.Is(err, dcb.ErrInvalidQuery) {
		t.Errorf("Read(%s) failed with %v, want ErrInvalidQuery", describe.Query(q), err)
	}
	err = t.appendFails(dcb.ErrInvalidQuery, &dcb.AppendCondition{FailIfEventsMatch: q}, event("T"))
	t.wantInvalid(err, "condition.FailIfEventsMatch"+path, limit)
}

// largestQuery returns a query with exactly dcb.MaxQueryBytes, in tags that all differ.
func largestQuery() dcb.Query {
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
