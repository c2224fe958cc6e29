package dcbtest

import (
	"fmt"
	"strings"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

const (
	matchingItem  = "An event matches an item if its type is among the item's types, or it names none, and its tags contain all of the item's tags."
	matchingQuery = "An event matches a query if it matches one of its items."
	matchingBytes = "Comparison is byte-exact."
)

func matchingCases() []Case {
	return []Case{
		selection("All selects every event", "All() matches everything.",
			[]dcb.Event{event("A", "x"), event("B"), event("C", "y", "z")},
			expect(dcb.All(), 1, 2, 3)),
		selection("an item without types or tags selects every event", "One item without types or tags matches everything, whatever the other items are.",
			[]dcb.Event{event("A", "x"), event("B"), event("C", "y")},
			expect(dcb.Query{{Types: []string{"A"}}, {}}, 1, 2, 3),
			expect(dcb.Query{{Types: []string{}, Tags: []string{}}}, 1, 2, 3),
			expect(dcb.Query{{}, {}}, 1, 2, 3)),
		selection("a type selects the events that have it", matchingItem,
			[]dcb.Event{event("A", "x"), event("B", "x"), event("A"), event("AB")},
			expect(typed("A"), 1, 3), expect(typed("B"), 2), expect(typed("C"))),
		selection("several types of an item are alternatives", "The event's type matches one of the item's types.",
			[]dcb.Event{event("A"), event("B"), event("C"), event("B")},
			expect(typed("A", "B"), 1, 2, 4), expect(typed("C", "A"), 1, 3), expect(typed("C", "D"), 3)),
		selection("a tag selects the events that have it", matchingItem,
			[]dcb.Event{event("A", "x"), event("B", "y"), event("C", "y", "x"), event("D")},
			expect(tagged("x"), 1, 3), expect(tagged("y"), 2, 3), expect(tagged("z"))),
		selection("several tags of an item are all required", "The event's tags contain all of the item's tags.",
			[]dcb.Event{event("A", "x"), event("A", "y"), event("A", "x", "y"), event("A", "z", "y", "x"), event("A")},
			expect(tagged("x", "y"), 3, 4), expect(tagged("y", "x"), 3, 4), expect(tagged("x", "y", "z"), 4), expect(tagged("x", "w"))),
		selection("types and tags of an item are both required", matchingItem,
			[]dcb.Event{event("A", "x"), event("A", "y"), event("B", "x"), event("B", "x", "y"), event("A", "x", "y")},
			expect(dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}}, 1, 5),
			expect(dcb.Query{{Types: []string{"A", "B"}, Tags: []string{"x", "y"}}}, 4, 5),
			expect(dcb.Query{{Types: []string{"C"}, Tags: []string{"x"}}}),
			expect(dcb.Query{{Types: []string{"A"}, Tags: []string{"z"}}})),
		selection("items are alternatives", matchingQuery,
			[]dcb.Event{event("A", "x"), event("B", "y"), event("C", "z"), event("A", "z")},
			expect(dcb.Query{{Tags: []string{"x"}}, {Tags: []string{"y"}}}, 1, 2),
			expect(dcb.Query{{Types: []string{"C"}}, {Tags: []string{"x"}}}, 1, 3),
			expect(dcb.Query{{Types: []string{"A"}, Tags: []string{"z"}}, {Types: []string{"B"}, Tags: []string{"y"}}}, 2, 4)),
		selection("types and tags of different items are not mixed", matchingQuery,
			[]dcb.Event{event("A", "y"), event("B", "x"), event("A", "x"), event("B", "y")},
			expect(dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}, {Types: []string{"B"}, Tags: []string{"y"}}}, 3, 4)),
		selection("an event that several items select comes once", "Each event comes exactly once, even if several items match it.",
			[]dcb.Event{event("A", "x", "y"), event("A", "x"), event("B", "y")},
			expect(dcb.Query{{Types: []string{"A"}}, {Tags: []string{"x"}}, {Tags: []string{"y"}}, {}}, 1, 2, 3),
			expect(dcb.Query{{Tags: []string{"x"}}, {Tags: []string{"y"}}}, 1, 2, 3)),
		selection("items that are repeated change nothing", "Each event comes exactly once, even if several items match it.",
			[]dcb.Event{event("A", "x"), event("B", "x"), event("A", "y")},
			expect(dcb.Query{{Tags: []string{"x"}}, {Tags: []string{"x"}}, {Tags: []string{"x"}}}, 1, 2),
			expect(dcb.Query{{Types: []string{"A"}}, {Types: []string{"A"}}}, 1, 3)),
		selection("types and tags that are repeated in an item change nothing", "Tags are a set.",
			[]dcb.Event{event("A", "x"), event("A", "x", "y"), event("B", "y")},
			expect(tagged("x", "x"), 1, 2), expect(tagged("x", "y", "x"), 2), expect(typed("A", "A"), 1, 2),
			expect(dcb.Query{{Types: []string{"A", "A"}, Tags: []string{"y", "y"}}}, 2)),
		selection("a tag that was given twice counts once", "A tag given twice is recorded once.",
			[]dcb.Event{event("A", "x", "x"), event("A", "x", "y", "x")},
			expect(tagged("x"), 1, 2), expect(tagged("x", "y"), 2)),
		selection("types are not tags", matchingItem,
			[]dcb.Event{event("x", "y"), event("y", "x")},
			expect(typed("x"), 1), expect(tagged("x"), 2), expect(dcb.Query{{Types: []string{"x"}, Tags: []string{"x"}}})),
		selection("an event without tags is selected by its type only", "In rare cases the list of tags could be empty.",
			[]dcb.Event{event("A"), event("A", "x")},
			expect(typed("A"), 1, 2), expect(dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}}, 2), expect(tagged("x"), 2)),
		selection("case counts", matchingBytes,
			[]dcb.Event{event("Type", "Tag"), event("type", "tag"), event("TYPE", "TAG"), event("Ä", "Ä"), event("ä", "ä")},
			expect(typed("Type"), 1), expect(typed("type"), 2), expect(typed("TYPE"), 3), expect(typed("ä"), 5),
			expect(tagged("Tag"), 1), expect(tagged("tag"), 2), expect(tagged("tAG")), expect(tagged("Ä"), 4)),
		selection("a prefix, a suffix or a part is not the whole", matchingBytes,
			[]dcb.Event{event("Course", "course:1"), event("CourseDefined", "course:10"), event("DefinedCourse", "course:"), event("C", "my-course:1")},
			expect(typed("Course"), 1), expect(typed("CourseDefined"), 2), expect(typed("Defined")), expect(typed("Cours")),
			expect(tagged("course:1"), 1), expect(tagged("course:10"), 2), expect(tagged("course:"), 3), expect(tagged("course")), expect(tagged(":1"))),
		selection("Unicode normal forms are different", matchingBytes,
			[]dcb.Event{event("é", "é"), event("e\u0301", "e\u0301"), event("Å", "Å"), event("\u212b", "\u212b"), event("ﬁ", "ﬁ"), event("fi", "fi")},
			expect(typed("é"), 1), expect(typed("e\u0301"), 2), expect(tagged("é"), 1), expect(tagged("e\u0301"), 2),
			expect(tagged("Å"), 3), expect(tagged("\u212b"), 4), expect(tagged("ﬁ"), 5), expect(tagged("fi"), 6), expect(typed("e"))),
		selection("spaces count, wherever they are", matchingBytes,
			[]dcb.Event{event("a", "a"), event("a ", "a "), event(" a", " a"), event("a b", "a b"), event("a  b", "a  b"), event("a\tb", "a\tb"), event("a\n", "a\n")},
			expect(tagged("a"), 1), expect(tagged("a "), 2), expect(tagged(" a"), 3), expect(tagged("a b"), 4), expect(tagged("a  b"), 5),
			expect(tagged("a\tb"), 6), expect(tagged("a\n"), 7), expect(typed("a "), 2), expect(typed("a"), 1), expect(typed("b"))),
		selection("a tag is not taken apart", "A key/value pair such as product:123 is irrelevant to the event store.",
			[]dcb.Event{event("T", "a", "b"), event("T", "a:b"), event("T", "a,b"), event("T", "a b"), event("T", "ab"), event("T", "a\x01b"), event("T", "a\nb")},
			expect(tagged("a", "b"), 1), expect(tagged("b", "a"), 1), expect(tagged("a"), 1), expect(tagged("b"), 1), expect(tagged("a:b"), 2),
			expect(tagged("a,b"), 3), expect(tagged("a b"), 4), expect(tagged("ab"), 5), expect(tagged("a\x01b"), 6), expect(tagged("a\nb"), 7)),
		selection("tags are not run together", matchingItem,
			[]dcb.Event{event("T", "ab", "c"), event("T", "a", "bc"), event("T", "abc"), event("T", "c", "ab")},
			expect(tagged("ab", "c"), 1, 4), expect(tagged("a", "bc"), 2), expect(tagged("abc"), 3)),
		selection("what separates or quotes elsewhere is text here", matchingBytes,
			[]dcb.Event{event("T", "it's"), event("T", "its"), event("T", `a\b`), event("T", "ab"), event("T", `a\\b`), event("T", `"q"`), event("T", "q"), event("T", "{a,b}"), event("T", "a|b"), event("T", "a&b"), event("T", "a_b")},
			expect(tagged("it's"), 1), expect(tagged("its"), 2), expect(tagged(`a\b`), 3), expect(tagged("ab"), 4), expect(tagged(`a\\b`), 5), expect(tagged(`"q"`), 6),
			expect(tagged("q"), 7), expect(tagged("{a,b}"), 8), expect(tagged("a|b"), 9), expect(tagged("a&b"), 10), expect(tagged("a_b"), 11), expect(tagged("a"))),
		selection("wildcards are text", matchingBytes,
			[]dcb.Event{event("ab", "ab"), event("a%", "a%"), event("a_", "a_"), event("a*", "a*"), event(".*", ".*"), event("%", "%"), event("a:*", "a:*")},
			expect(tagged("a%"), 2), expect(tagged("a_"), 3), expect(tagged("a*"), 4), expect(tagged(".*"), 5), expect(tagged("%"), 6), expect(tagged("a:*"), 7),
			expect(typed("a%"), 2), expect(typed("a_"), 3), expect(typed("a*"), 4), expect(typed("%"), 6), expect(tagged("_")), expect(tagged("*"))),
		selection("words for nothing are text", matchingBytes,
			[]dcb.Event{event("NULL", "NULL"), event("null", "null"), event("nil", "{}"), event("0", "0"), event("A")},
			expect(tagged("NULL"), 1), expect(tagged("null"), 2), expect(tagged("{}"), 3), expect(tagged("0"), 4), expect(typed("NULL"), 1), expect(typed("nil"), 3), expect(typed("0"), 4)),
		selection("long texts that differ in their last byte are different", matchingBytes,
			[]dcb.Event{event(long(dcb.MaxTypeBytes, "a"), long(dcb.MaxTagBytes, "a")), event(long(dcb.MaxTypeBytes, "b"), long(dcb.MaxTagBytes, "b"))},
			expect(typed(long(dcb.MaxTypeBytes, "a")), 1), expect(typed(long(dcb.MaxTypeBytes, "b")), 2), expect(typed(long(dcb.MaxTypeBytes-1, "x"))),
			expect(tagged(long(dcb.MaxTagBytes, "a")), 1), expect(tagged(long(dcb.MaxTagBytes, "b")), 2), expect(tagged(long(dcb.MaxTagBytes, "a"), long(dcb.MaxTagBytes, "b")))),
		selection("an item may name all the tags an event may have", "At most 128 tags an event.",
			[]dcb.Event{event("T", numbered("t", dcb.MaxTags)...), event("T", numbered("t", dcb.MaxTags-1)...)},
			expect(tagged(numbered("t", dcb.MaxTags)...), 1), expect(tagged(numbered("t", dcb.MaxTags-1)...), 1, 2)),
		selection("an item with more tags than an event may have selects nothing", "The event's tags contain all of the item's tags.",
			[]dcb.Event{event("T", numbered("t", dcb.MaxTags)...), event("T", "t:0")},
			expect(tagged(numbered("t", dcb.MaxTags+1)...)), expect(tagged(numbered("t", 1000)...)),
			expect(dcb.Query{{Tags: numbered("t", 1000)}, {Tags: []string{"t:0"}}}, 1, 2)),
		selection("an item may name many types", matchingItem,
			[]dcb.Event{event("type:0"), event("type:1999", "x"), event("type:2000", "x"), event("other", "x")},
			expect(typed(numbered("type", 2000)...), 1, 2), expect(dcb.Query{{Types: numbered("type", 2000), Tags: []string{"x"}}}, 2)),
		{Name: "matching/every awkward text is a tag of its own", Rule: matchingBytes, Run: awkwardTags},
		{Name: "matching/every awkward text is a type of its own", Rule: matchingBytes, Run: awkwardTypes},
		{Name: "matching/any two awkward texts are two tags", Rule: matchingItem, Run: awkwardPairs},
		{Name: "matching/every awkward text conflicts with itself alone", Rule: matchingBytes + " A condition matches as a read does.", Run: awkwardConditions},
		{Name: "matching/a rare tag among common ones", Rule: matchingItem, Run: rareTag},
		{Name: "matching/a query of many items", Rule: matchingQuery, Run: manyItems},
	}
}

// expectation is a query and the positions of the events that it selects.
type expectation struct {
	query dcb.Query
	want  []dcb.Position
}

func expect(q dcb.Query, want ...dcb.Position) expectation { return expectation{q, want} }

// selection returns a case that records events and expects of queries what they select: read in both directions, and as the condition of
// an append, which must conflict with an event that is selected if there is any.
func selection(name, rule string, events []dcb.Event, expectations ...expectation) Case {
	return Case{Name: "matching/" + name, Rule: rule, Run: func(t *T) {
		t.append(events...)
		for _, x := range expectations {
			t.selects(x.query, x.want...)
			t.selectsBackwards(x.query, x.want)
		}
		for _, x := range expectations {
			t.conflictsWith(x.query, x.want)
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

// conflictsWith expects an append under q to conflict with one of the given positions, or to succeed if there are none. What
// it then records is ignored by later calls only if they look at the first events alone, so it has a type of its own.
func (t *T) conflictsWith(q dcb.Query, want []dcb.Position) {
	probe := event("dcbtest:probe")
	if len(want) == 0 {
		t.appendIf(q, 0, probe)
		return
	}
	conflict := t.conflicts(q, want[len(want)-1]-1, probe)
	if last := want[len(want)-1]; conflict.Position < last {
		t.Errorf("%s after %d conflicts with position %d, want %d or later", describe.Query(q), last-1, conflict.Position, last)
	}
	if !q.Matches(probe) { // nothing but what is wanted matches, so nothing does after it
		t.appendIf(q, want[len(want)-1], probe)
	}
}

func long(n int, end string) string { return strings.Repeat("x", n-len(end)) + end }

func awkwardTags(t *T) {
	var events []dcb.Event
	for _, text := range awkward {
		events = append(events, event("T", text))
	}
	t.append(events...)
	for i, text := range awkward {
		t.selects(tagged(text), dcb.Position(i+1))
	}
}

func awkwardTypes(t *T) {
	var events []dcb.Event
	for _, text := range awkward {
		events = append(events, event(text, "x"))
	}
	t.append(events...)
	for i, text := range awkward {
		t.selects(typed(text), dcb.Position(i+1))
		t.selects(dcb.Query{{Types: []string{text}, Tags: []string{"x"}}}, dcb.Position(i+1))
	}
}

// awkwardPairs has at position i an event with the texts i and i-1.
func awkwardPairs(t *T) {
	events := []dcb.Event{event("T", awkward[0])}
	for i := 1; i < len(awkward); i++ {
		events = append(events, event("T", awkward[i-1], awkward[i]))
	}
	t.append(events...)
	for i := 1; i < len(awkward); i++ {
		t.selects(tagged(awkward[i], awkward[i-1]), dcb.Position(i+1))
		t.selects(tagged(awkward[i-1]), dcb.Position(i), dcb.Position(i+1))
	}
}

func awkwardConditions(t *T) {
	for i, text := range awkward {
		q := dcb.Query{{Types: []string{text}}, {Tags: []string{text}}}
		t.appendIf(q, 0, event("T", text))
		if conflict := t.conflicts(q, 0, event("T", text)); conflict.Position != dcb.Position(i+1) {
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
	t.conflicts(tagged("on:all", "rare"), 1777, event("T"))
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
	t.conflicts(q, last-1, event("T"))
	t.appendIf(q, last, event("T"))
}
