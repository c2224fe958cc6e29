package dcbtest

import (
	"fmt"
	"strings"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// matchCases check that reads and conditions of a store select the events for which
// [dcb.Query.Matches] returns true.
func matchCases() []Case {
	cases := []Case{
		matchCase("All selects every event", ruleMatchAll,
			[]dcb.Event{event("A", "x"), event("B"), event("C", "y", "z")},
			expect(dcb.All(), 1, 2, 3)),
		matchCase("an item without types and tags selects every event", ruleMatchAll,
			[]dcb.Event{event("A", "x"), event("B"), event("C", "y")},
			expect(dcb.Query{{Types: []string{"A"}}, {}}, 1, 2, 3),
			expect(dcb.Query{{Types: []string{}, Tags: []string{}}}, 1, 2, 3),
			expect(dcb.Query{{}, {}}, 1, 2, 3)),
		matchCase("a type selects the events that have it", ruleMatchItem,
			[]dcb.Event{event("A", "x"), event("B", "x"), event("A"), event("AB")},
			expect(typed("A"), 1, 3), expect(typed("B"), 2), expect(typed("C"))),
		matchCase("an item selects the events of any of its types", ruleMatchItem,
			[]dcb.Event{event("A"), event("B"), event("C"), event("B")},
			expect(typed("A", "B"), 1, 2, 4), expect(typed("C", "A"), 1, 3), expect(typed("C", "D"), 3)),
		matchCase("a tag selects the events that have it", ruleMatchItem,
			[]dcb.Event{event("A", "x"), event("B", "y"), event("C", "y", "x"), event("D")},
			expect(tagged("x"), 1, 3), expect(tagged("y"), 2, 3), expect(tagged("z"))),
		matchCase("an item selects the events that have all of its tags", ruleMatchItem,
			[]dcb.Event{event("A", "x"), event("A", "y"), event("A", "x", "y"), event("A", "z", "y", "x"), event("A")},
			expect(tagged("x", "y"), 3, 4), expect(tagged("y", "x"), 3, 4), expect(tagged("x", "y", "z"), 4),
			expect(tagged("x", "w"))),
		matchCase("an item requires its types and its tags", ruleMatchItem,
			[]dcb.Event{event("A", "x"), event("A", "y"), event("B", "x"), event("B", "x", "y"), event("A", "x", "y")},
			expect(dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}}, 1, 5),
			expect(dcb.Query{{Types: []string{"A", "B"}, Tags: []string{"x", "y"}}}, 4, 5),
			expect(dcb.Query{{Types: []string{"C"}, Tags: []string{"x"}}}),
			expect(dcb.Query{{Types: []string{"A"}, Tags: []string{"z"}}})),
		matchCase("a query selects the events of any of its items", ruleMatchQuery,
			[]dcb.Event{event("A", "x"), event("B", "y"), event("C", "z"), event("A", "z")},
			expect(dcb.Query{{Tags: []string{"x"}}, {Tags: []string{"y"}}}, 1, 2),
			expect(dcb.Query{{Types: []string{"C"}}, {Tags: []string{"x"}}}, 1, 3),
			expect(dcb.Query{{Types: []string{"A"}, Tags: []string{"z"}}, {Types: []string{"B"}, Tags: []string{"y"}}}, 2, 4)),
		matchCase("types and tags of different items do not combine", ruleMatchQuery,
			[]dcb.Event{event("A", "y"), event("B", "x"), event("A", "x"), event("B", "y")},
			expect(dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}, {Types: []string{"B"}, Tags: []string{"y"}}}, 3, 4)),
		matchCase("an event that several items match comes once", ruleReadOnce,
			[]dcb.Event{event("A", "x", "y"), event("A", "x"), event("B", "y")},
			expect(dcb.Query{{Types: []string{"A"}}, {Tags: []string{"x"}}, {Tags: []string{"y"}}, {}}, 1, 2, 3),
			expect(dcb.Query{{Tags: []string{"x"}}, {Tags: []string{"y"}}}, 1, 2, 3)),
		matchCase("repeated items change nothing", ruleReadOnce,
			[]dcb.Event{event("A", "x"), event("B", "x"), event("A", "y")},
			expect(dcb.Query{{Tags: []string{"x"}}, {Tags: []string{"x"}}, {Tags: []string{"x"}}}, 1, 2),
			expect(dcb.Query{{Types: []string{"A"}}, {Types: []string{"A"}}}, 1, 3)),
		matchCase("repeated types and tags of an item change nothing", ruleTags,
			[]dcb.Event{event("A", "x"), event("A", "x", "y"), event("B", "y")},
			expect(tagged("x", "x"), 1, 2), expect(tagged("x", "y", "x"), 2), expect(typed("A", "A"), 1, 2),
			expect(dcb.Query{{Types: []string{"A", "A"}, Tags: []string{"y", "y"}}}, 2)),
		matchCase("a tag appended twice counts once", ruleTagOnce,
			[]dcb.Event{event("A", "x", "x"), event("A", "x", "y", "x")},
			expect(tagged("x"), 1, 2), expect(tagged("x", "y"), 2)),
		matchCase("types are not tags", ruleMatchItem,
			[]dcb.Event{event("x", "y"), event("y", "x")},
			expect(typed("x"), 1), expect(tagged("x"), 2),
			expect(dcb.Query{{Types: []string{"x"}, Tags: []string{"x"}}})),
		matchCase("an event without tags matches by its type", ruleMatchItem,
			[]dcb.Event{event("A"), event("A", "x")},
			expect(typed("A"), 1, 2), expect(dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}}, 2), expect(tagged("x"), 2)),
	}
	return append(append(cases, textCases()...), sizeCases()...)
}

// textCases check that types and tags are compared byte by byte.
func textCases() []Case {
	return []Case{
		matchCase("upper and lower case differ", ruleMatchBytes,
			[]dcb.Event{event("Type", "Tag"), event("type", "tag"), event("TYPE", "TAG"), event("Ä", "Ä"), event("ä", "ä")},
			expect(typed("Type"), 1), expect(typed("type"), 2), expect(typed("TYPE"), 3), expect(typed("ä"), 5),
			expect(tagged("Tag"), 1), expect(tagged("tag"), 2), expect(tagged("tAG")), expect(tagged("Ä"), 4)),
		matchCase("a substring is not the whole text", ruleMatchBytes,
			[]dcb.Event{
				event("Course", "course:1"), event("CourseDefined", "course:10"),
				event("DefinedCourse", "course:"), event("C", "my-course:1"),
			},
			expect(typed("Course"), 1), expect(typed("CourseDefined"), 2), expect(typed("Defined")), expect(typed("Cours")),
			expect(tagged("course:1"), 1), expect(tagged("course:10"), 2), expect(tagged("course:"), 3),
			expect(tagged("course")), expect(tagged(":1"))),
		matchCase("Unicode normal forms differ", ruleMatchBytes,
			[]dcb.Event{
				event("é", "é"), event("e\u0301", "e\u0301"), event("Å", "Å"), event("\u212b", "\u212b"),
				event("ﬁ", "ﬁ"), event("fi", "fi"),
			},
			expect(typed("é"), 1), expect(typed("e\u0301"), 2), expect(tagged("é"), 1), expect(tagged("e\u0301"), 2),
			expect(tagged("Å"), 3), expect(tagged("\u212b"), 4), expect(tagged("ﬁ"), 5), expect(tagged("fi"), 6),
			expect(typed("e"))),
		matchCase("white space counts", ruleMatchBytes,
			[]dcb.Event{
				event("a", "a"), event("a ", "a "), event(" a", " a"), event("a b", "a b"), event("a  b", "a  b"),
				event("a\tb", "a\tb"), event("a\n", "a\n"),
			},
			expect(tagged("a"), 1), expect(tagged("a "), 2), expect(tagged(" a"), 3), expect(tagged("a b"), 4),
			expect(tagged("a  b"), 5), expect(tagged("a\tb"), 6), expect(tagged("a\n"), 7),
			expect(typed("a "), 2), expect(typed("a"), 1), expect(typed("b"))),
		matchCase("a tag is not split at separators", ruleMatchBytes,
			[]dcb.Event{
				event("T", "a", "b"), event("T", "a:b"), event("T", "a,b"), event("T", "a b"), event("T", "ab"),
				event("T", "a\x01b"), event("T", "a\nb"),
			},
			expect(tagged("a", "b"), 1), expect(tagged("b", "a"), 1), expect(tagged("a"), 1), expect(tagged("b"), 1),
			expect(tagged("a:b"), 2), expect(tagged("a,b"), 3), expect(tagged("a b"), 4), expect(tagged("ab"), 5),
			expect(tagged("a\x01b"), 6), expect(tagged("a\nb"), 7)),
		matchCase("tags are not concatenated", ruleMatchItem,
			[]dcb.Event{event("T", "ab", "c"), event("T", "a", "bc"), event("T", "abc"), event("T", "c", "ab")},
			expect(tagged("ab", "c"), 1, 4), expect(tagged("a", "bc"), 2), expect(tagged("abc"), 3)),
		matchCase("separators and quotes are plain text", ruleMatchBytes,
			[]dcb.Event{
				event("T", "it's"), event("T", "its"), event("T", `a\b`), event("T", "ab"), event("T", `a\\b`),
				event("T", `"q"`), event("T", "q"), event("T", "{a,b}"), event("T", "a|b"), event("T", "a&b"), event("T", "a_b"),
			},
			expect(tagged("it's"), 1), expect(tagged("its"), 2), expect(tagged(`a\b`), 3), expect(tagged("ab"), 4),
			expect(tagged(`a\\b`), 5), expect(tagged(`"q"`), 6), expect(tagged("q"), 7), expect(tagged("{a,b}"), 8),
			expect(tagged("a|b"), 9), expect(tagged("a&b"), 10), expect(tagged("a_b"), 11), expect(tagged("a"))),
		matchCase("wildcards are plain text", ruleMatchBytes,
			[]dcb.Event{
				event("ab", "ab"), event("a%", "a%"), event("a_", "a_"), event("a*", "a*"), event(".*", ".*"),
				event("%", "%"), event("a:*", "a:*"),
			},
			expect(tagged("a%"), 2), expect(tagged("a_"), 3), expect(tagged("a*"), 4), expect(tagged(".*"), 5),
			expect(tagged("%"), 6), expect(tagged("a:*"), 7), expect(typed("a%"), 2), expect(typed("a_"), 3),
			expect(typed("a*"), 4), expect(typed("%"), 6), expect(tagged("_")), expect(tagged("*"))),
		matchCase("NULL, null, nil and 0 are plain text", ruleMatchBytes,
			[]dcb.Event{event("NULL", "NULL"), event("null", "null"), event("nil", "{}"), event("0", "0"), event("A")},
			expect(tagged("NULL"), 1), expect(tagged("null"), 2), expect(tagged("{}"), 3), expect(tagged("0"), 4),
			expect(typed("NULL"), 1), expect(typed("nil"), 3), expect(typed("0"), 4)),
		matchCase("long texts that differ in their last byte differ", ruleMatchBytes,
			[]dcb.Event{
				event(longText(dcb.MaxTypeBytes, "a"), longText(dcb.MaxTagBytes, "a")),
				event(longText(dcb.MaxTypeBytes, "b"), longText(dcb.MaxTagBytes, "b")),
			},
			expect(typed(longText(dcb.MaxTypeBytes, "a")), 1), expect(typed(longText(dcb.MaxTypeBytes, "b")), 2),
			expect(typed(longText(dcb.MaxTypeBytes-1, "x"))),
			expect(tagged(longText(dcb.MaxTagBytes, "a")), 1), expect(tagged(longText(dcb.MaxTagBytes, "b")), 2),
			expect(tagged(longText(dcb.MaxTagBytes, "a"), longText(dcb.MaxTagBytes, "b")))),
		{Name: "Query.Matches/distinguishes awkward tags", Rule: ruleMatchBytes, Run: awkwardTags},
		{Name: "Query.Matches/distinguishes awkward types", Rule: ruleMatchBytes, Run: awkwardTypes},
		{Name: "Query.Matches/distinguishes pairs of awkward tags", Rule: ruleMatchItem, Run: awkwardPairs},
		{
			Name: "Query.Matches/distinguishes awkward texts in conditions",
			Rule: ruleMatchBytes + " " + ruleMatches,
			Run:  awkwardConditions,
		},
	}
}

// sizeCases check queries with many tags, types or items, and rare matches in a large store.
func sizeCases() []Case {
	return []Case{
		matchCase("an item may have as many tags as an event", ruleMatchItem,
			[]dcb.Event{event("T", numbered("t", dcb.MaxTags)...), event("T", numbered("t", dcb.MaxTags-1)...)},
			expect(tagged(numbered("t", dcb.MaxTags)...), 1), expect(tagged(numbered("t", dcb.MaxTags-1)...), 1, 2)),
		matchCase("an item with more tags than an event may have selects nothing", ruleManyTags,
			[]dcb.Event{event("T", numbered("t", dcb.MaxTags)...), event("T", "t:0")},
			expect(tagged(numbered("t", dcb.MaxTags+1)...)), expect(tagged(numbered("t", 1000)...)),
			expect(dcb.Query{{Tags: numbered("t", 1000)}, {Tags: []string{"t:0"}}}, 1, 2)),
		matchCase("an item may have thousands of types", ruleMatchItem,
			[]dcb.Event{event("type:0"), event("type:1999", "x"), event("type:2000", "x"), event("other", "x")},
			expect(typed(numbered("type", 2000)...), 1, 2),
			expect(dcb.Query{{Types: numbered("type", 2000), Tags: []string{"x"}}}, 2)),
		{Name: "Query.Matches/finds a rare tag among common ones", Rule: ruleMatchItem, Run: rareTag},
		{Name: "Query.Matches/finds the events of hundreds of items", Rule: ruleMatchQuery, Run: manyItems},
	}
}

// expectation is a query and the positions of the events that it selects.
type expectation struct {
	query dcb.Query
	want  []dcb.Position
}

func expect(q dcb.Query, want ...dcb.Position) expectation { return expectation{q, want} }

// matchCase returns a case that appends events and then uses each query three ways: in a read, in a
// backward read, and as the condition of an append.
func matchCase(name, rule string, events []dcb.Event, expectations ...expectation) Case {
	return Case{Name: "Query.Matches/" + name, Rule: rule, Run: func(t *T) {
		t.append(events...)
		for _, x := range expectations {
			t.selects(x.query, x.want...)
			t.selectsBackwards(x.query, x.want)
		}
		for _, x := range expectations {
			t.conditionSelects(x.query, x.want)
		}
	}}
}

func (t *T) selectsBackwards(q dcb.Query, want []dcb.Position) {
	got := positions(t.read(q, dcb.ReadOptions{Backwards: true}).Events)
	for i, position := range got {
		if len(got) != len(want) || position != want[len(want)-1-i] {
			t.Errorf("%s read backwards selects %v, want the reverse of %v", describe.Query(q), got, want)
			return
		}
	}
}

// conditionSelects checks that an append on condition q conflicts with the last of the wanted
// positions, or succeeds if there are none. The events that it appends have a type of their own, so
// that only queries that match everything select them.
func (t *T) conditionSelects(q dcb.Query, want []dcb.Position) {
	probe := event("dcbtest:probe")
	if len(want) == 0 {
		t.appendIf(q, 0, probe)
		return
	}
	last := want[len(want)-1]
	conflict := t.appendConflicts(q, last-1, probe)
	if conflict.Position < last {
		t.Errorf("%s after %d conflicts with position %d, want %d or later",
			describe.Query(q), last-1, conflict.Position, last)
	}
	if !q.Matches(probe) {
		t.appendIf(q, last, probe)
	}
}

// longText returns a text of n bytes with the given end.
func longText(n int, end string) string { return strings.Repeat("x", n-len(end)) + end }

func awkwardTags(t *T) {
	var events []dcb.Event
	for _, text := range awkwardTexts {
		events = append(events, event("T", text))
	}
	t.append(events...)
	for i, text := range awkwardTexts {
		t.selects(tagged(text), dcb.Position(i+1))
	}
}

func awkwardTypes(t *T) {
	var events []dcb.Event
	for _, text := range awkwardTexts {
		events = append(events, event(text, "x"))
	}
	t.append(events...)
	for i, text := range awkwardTexts {
		t.selects(typed(text), dcb.Position(i+1))
		t.selects(dcb.Query{{Types: []string{text}, Tags: []string{"x"}}}, dcb.Position(i+1))
	}
}

// awkwardPairs appends an event for each pair of texts that follow each other in awkwardTexts.
func awkwardPairs(t *T) {
	events := []dcb.Event{event("T", awkwardTexts[0])}
	for i := 1; i < len(awkwardTexts); i++ {
		events = append(events, event("T", awkwardTexts[i-1], awkwardTexts[i]))
	}
	t.append(events...)
	for i := 1; i < len(awkwardTexts); i++ {
		t.selects(tagged(awkwardTexts[i], awkwardTexts[i-1]), dcb.Position(i+1))
		t.selects(tagged(awkwardTexts[i-1]), dcb.Position(i), dcb.Position(i+1))
	}
}

func awkwardConditions(t *T) {
	for i, text := range awkwardTexts {
		q := dcb.Query{{Types: []string{text}}, {Tags: []string{text}}}
		t.appendIf(q, 0, event("T", text))
		if conflict := t.appendConflicts(q, 0, event("T", text)); conflict.Position != dcb.Position(i+1) {
			t.Errorf("%s conflicts with position %d, want %d", describe.Text(text), conflict.Position, i+1)
		}
	}
}

func rareTag(t *T) {
	const n = 2000
	events := make([]dcb.Event, n)
	for i := range events {
		events[i] = event("T", "on:all", "on:most", fmt.Sprintf("mod:%d", i%100))
		if i == 777 || i == 1777 {
			events[i] = event("T", "on:all", "rare")
		}
	}
	t.append(events...)
	t.selects(tagged("on:all", "rare"), 778, 1778)
	t.selects(tagged("on:all", "on:most", "rare"))
	t.selects(dcb.Query{{Types: []string{"T"}, Tags: []string{"rare", "on:all"}}}, 778, 1778)
	t.selects(dcb.Query{{Types: []string{"U"}, Tags: []string{"rare"}}})
	t.selects(tagged("on:all", "absent"))
	if got := len(t.read(tagged("on:all", "on:most", "mod:5"), dcb.ReadOptions{}).Events); got != 20 {
		t.Errorf("three tags select %d events, want 20", got)
	}
	if got := len(t.read(tagged("on:all", "on:most"), dcb.ReadOptions{}).Events); got != n-2 {
		t.Errorf("two common tags select %d events, want %d", got, n-2)
	}
	t.appendIf(tagged("on:all", "rare"), 1778, event("T"))
	t.appendConflicts(tagged("on:all", "rare"), 1777, event("T"))
}

func manyItems(t *T) {
	events, q, want := []dcb.Event{}, dcb.Query{}, []dcb.Position{}
	for i := range 300 {
		events = append(events, event(fmt.Sprintf("T%d", i%7), fmt.Sprintf("n:%d", i)))
		q = append(q, dcb.QueryItem{Types: []string{"T0", "T3"}, Tags: []string{fmt.Sprintf("n:%d", i)}})
		if i%7 == 0 || i%7 == 3 {
			want = append(want, dcb.Position(i+1))
		}
	}
	t.append(events...)
	t.selects(q, want...)
	last := want[len(want)-1]
	t.appendConflicts(q, last-1, event("T"))
	t.appendIf(q, last, event("T"))
}
