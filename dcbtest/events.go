package dcbtest

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// eventCases check that events come back as they were appended.
func eventCases() []Case {
	return []Case{
		{
			Name: "Head/is 0 on a new store",
			Rule: rulePosition,
			Run: func(t *T) {
				t.holds()
				if result := t.read(dcb.All(), dcb.ReadOptions{}); result.Head != 0 {
					t.Errorf("Read of a new store has head %d, want 0", result.Head)
				}
			},
		},
		{
			Name: "Read/returns every field as it was appended",
			Rule: rulePrefix,
			Run: func(t *T) {
				want := dcb.Event{
					Type: "StudentJoinedCourse", Tags: []string{"student:ann", "course:go"},
					Data: []byte(`{"a": 1}`), ID: uuid.New(),
					Metadata: map[string]string{"user": "u1", "trace": "t1"},
				}
				t.append(want)
				t.holds(want)
			},
		},
		{
			Name: "Read/returns every field backwards and for any query",
			Rule: rulePrefix,
			Run: func(t *T) {
				want := dcb.Event{
					Type: "T", Tags: []string{"b", "a"}, Data: []byte{0, 1, 0xff}, ID: uuid.New(),
					Metadata: map[string]string{"k": "v"},
				}
				t.append(event("Other", "x"), want, event("Other", "x"))
				for _, q := range []dcb.Query{tagged("a"), typed("T"), {{Types: []string{"T"}, Tags: []string{"a", "b"}}}} {
					for _, backwards := range []bool{false, true} {
						t.wantEvents(t.read(q, dcb.ReadOptions{Backwards: backwards}).Events, want)
					}
				}
			},
		},
		{
			Name: "Append/accepts an event with only a type",
			Rule: ruleTags + " " + ruleID + " " + ruleMetadata,
			Run: func(t *T) {
				absent := dcb.Event{Type: "Absent"}
				empty := dcb.Event{Type: "Empty", Tags: []string{}, Data: []byte{}, Metadata: map[string]string{}}
				t.append(absent, empty)
				t.holds(absent, empty)
			},
		},
		{
			Name: "Read/returns data byte for byte",
			Rule: ruleData,
			Run: func(t *T) {
				every := make([]byte, 256)
				for i := range every {
					every[i] = byte(i)
				}
				want := []dcb.Event{
					{Type: "T", Data: every},
					{Type: "T", Data: []byte{0}},
					{Type: "T", Data: []byte{0, 0, 0}},
					{Type: "T", Data: []byte("\xff\xfe\x00text")},
					{Type: "T", Data: []byte(`\x00 \\ ' " $1 %s`)},
					{Type: "T", Data: []byte("null")},
				}
				t.append(want...)
				t.holds(want...)
			},
		},
		{
			Name: "Read/returns metadata byte for byte",
			Rule: ruleText,
			Run: func(t *T) {
				want := dcb.Event{Type: "T", Metadata: map[string]string{
					"empty": "", "Case": "A", "case": "a", "null": "NULL", " ": " ", "quote'\"": `\'"`,
					"new\nline": "\t\r\n", "{}": "{a,b}", "ünï": "日本語 😀", "é": "composed",
					"e\u0301": "decomposed", "control\x01": "\x7f\u2028", "$1": "%s",
				}}
				t.append(want)
				t.holds(want)
			},
		},
		{
			Name: "Append/accepts any valid text as a type",
			Rule: ruleTypeLimit + " " + ruleText,
			Run: func(t *T) {
				var want []dcb.Event
				for _, text := range awkwardTexts {
					want = append(want, event(text))
				}
				t.append(want...)
				t.holds(want...)
			},
		},
		{
			Name: "Append/accepts any valid text as a tag",
			Rule: ruleTagLimit + " " + ruleText,
			Run: func(t *T) {
				want := event("T", awkwardTexts...)
				t.append(want)
				t.holds(want)
			},
		},
		{
			Name: "Read/returns any ID, and no ID, as it was appended",
			Rule: ruleID,
			Run: func(t *T) {
				want := []dcb.Event{
					{Type: "T", ID: uuid.MustParse("00000000-0000-0000-0000-000000000001")},
					{Type: "T", ID: uuid.Max},
					{Type: "T", ID: uuid.MustParse("018f3c6e-7d2a-7000-8000-0123456789ab")},
					{Type: "T"},
					{Type: "T"},
				}
				t.append(want...)
				t.holds(want...)
			},
		},
		{
			Name: "Read/RecordedAt is UTC in whole microseconds",
			Rule: ruleRecordedAt,
			Run: func(t *T) {
				for range 20 {
					t.append(event("T"))
				}
				for _, e := range t.readAll() {
					if e.RecordedAt.Location() != time.UTC {
						t.Errorf("RecordedAt of position %d has location %v, want UTC", e.Position, e.RecordedAt.Location())
					}
					if !e.RecordedAt.Equal(e.RecordedAt.Truncate(time.Microsecond)) {
						t.Errorf("RecordedAt of position %d is %v, want whole microseconds", e.Position, e.RecordedAt)
					}
				}
			},
		},
		{
			Name: "Append/sets RecordedAt to the present time",
			Rule: ruleRecordedAt,
			Run: func(t *T) {
				t.append(event("T"))
				// The clock may be on another machine, so a day of difference is accepted. The case
				// finds a time that was not set and one in the wrong unit.
				if age := time.Since(t.readAll()[0].RecordedAt); age < -24*time.Hour || age > 24*time.Hour {
					t.Errorf("RecordedAt of a new event is %v ago", age)
				}
			},
		},
		{
			Name: "Append/RecordedAt never falls",
			Rule: ruleRecordedAt,
			Run: func(t *T) {
				for range 4 {
					t.Go(func() {
						for range 25 {
							t.append(event("T"), event("T"))
						}
					})
				}
				t.goroutines.Wait()
				t.wantRisingTimes()
			},
		},
		{
			Name: "Read/RecordedAt of an event never changes",
			Rule: ruleRecordedAt,
			Run: func(t *T) {
				t.append(event("T", "a"))
				first := t.readAll()[0].RecordedAt
				t.append(event("T", "a"))
				for _, opts := range []dcb.ReadOptions{{}, {Limit: 1}, {Backwards: true, Before: 2}} {
					if again := t.read(tagged("a"), opts).Events[0].RecordedAt; !again.Equal(first) {
						t.Errorf("RecordedAt of position 1 was %v and is now %v", first, again)
					}
				}
			},
		},
	}
}

// awkwardTexts are valid types and tags, all different. Each has tripped a store: by folding case,
// normalizing Unicode, trimming, or reading a separator, a quote or a pattern.
var awkwardTexts = []string{
	"a", "A", "ä", "Ä", "a\u0308", "ß", "ss", "SS", "İ", "i", "ı",
	"K", "\u212a", // the Kelvin sign
	"ﬁ", "fi", "１", "1", "日本", "日", "😀", "👩‍👩‍👧", "\u200b", "\ufeff", "\ufffd", "\U0010ffff",
	" ", "  ", "\t", "\n", "\r\n", "\x01", "\x7f", "a ", " a", "a\n", "a b", "a\tb", "\u00a0",
	":", "a:", ":a", "a:b", "a:b:c", "a::b", "|", "a|b", "&", "a&b", "!", "!a", "a,b", ",", ";", "a;b",
	"(", ")", "(a)", "<->", "a <-> b",
	"'", "''", "a'b", `"`, `""`, `"a"`, "`", `\`, `\\`, `\'`, `\"`, `a\:b`, `\n`, `\x00`, `\0`,
	"%", "_", "a%", "a_", "%a%", "*", "a*", "a:*", "?", ".", ".*", "^a$", "[a]",
	"{}", "{a}", "{a,b}", "{\"a\"}", "[]", "$1", "$$", "%s", "@", "#", "/", "//", "~", "=", "a=b",
	"NULL", "null", "nil", "true", "0", "00", "-1", "1e3", "--", "; DROP TABLE events; --", "/*",
	"'A':1", "a:1A", "the", "and",
	strings.Repeat("long", 50),
}
