package dcbtest

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

func nounCases() []Case {
	return []Case{
		{
			Name: "nouns/a new store is empty",
			Rule: "0 is the place before the first event; on an empty store Head is 0.",
			Run: func(t *T) {
				t.recorded()
				if result := t.read(dcb.All(), dcb.ReadOptions{}); result.Head != 0 {
					t.Errorf("the head of a read is %d, want 0", result.Head)
				}
			},
		},
		{
			Name: "nouns/every field comes back as it was given",
			Rule: "A sequenced event contains the event: type, tags, data, ID and metadata.",
			Run: func(t *T) {
				want := dcb.Event{
					Type: "StudentJoinedCourse", Tags: []string{"student:ann", "course:go"}, Data: []byte(`{"a": 1}`), ID: uuid.New(),
					Metadata: map[string]string{"user": "u1", "trace": "t1"},
				}
				t.append(want)
				t.recorded(want)
			},
		},
		{
			Name: "nouns/every field comes back through a backward read and a selective one",
			Rule: "A sequenced event contains the event, however it was found.",
			Run: func(t *T) {
				want := dcb.Event{
					Type: "T", Tags: []string{"b", "a"}, Data: []byte{0, 1, 0xff}, ID: uuid.New(), Metadata: map[string]string{"k": "v"},
				}
				t.append(event("Other", "x"), want, event("Other", "x"))
				for _, q := range []dcb.Query{tagged("a"), typed("T"), {{Types: []string{"T"}, Tags: []string{"a", "b"}}}} {
					for _, backwards := range []bool{false, true} {
						t.sameEvents(t.read(q, dcb.ReadOptions{Backwards: backwards}).Events, want)
					}
				}
			},
		},
		{
			Name: "nouns/an event may have a type and nothing else",
			Rule: "Tags, data, ID and metadata are optional; nil and empty are the same.",
			Run: func(t *T) {
				bare := dcb.Event{Type: "Bare"}
				empty := dcb.Event{Type: "Empty", Tags: []string{}, Data: []byte{}, Metadata: map[string]string{}}
				t.append(bare, empty)
				t.recorded(bare, empty)
			},
		},
		{
			Name: "nouns/data is opaque bytes",
			Rule: "Data is opaque to the store.",
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
				t.recorded(want...)
			},
		},
		{
			Name: "nouns/metadata is opaque text",
			Rule: "Metadata is opaque to the store: keys and values are valid UTF-8 without NUL.",
			Run: func(t *T) {
				want := dcb.Event{Type: "T", Metadata: map[string]string{
					"empty": "", "Case": "A", "case": "a", "null": "NULL", " ": " ", "quote'\"": `\'"`, "new\nline": "\t\r\n", "{}": "{a,b}",
					"ünï": "日本語 😀", "é": "composed", "e\u0301": "decomposed", "control\x01": "\x7f\u2028", "$1": "%s",
				}}
				t.append(want)
				t.recorded(want)
			},
		},
		{
			Name: "nouns/a type is any text",
			Rule: "A type is 1 to 256 bytes of valid UTF-8 without NUL, compared byte by byte.",
			Run: func(t *T) {
				var want []dcb.Event
				for _, text := range awkward {
					want = append(want, event(text))
				}
				t.append(want...)
				t.recorded(want...)
			},
		},
		{
			Name: "nouns/a tag is any text",
			Rule: "A tag is 1 to 1,024 bytes of valid UTF-8 without NUL; all tags of an event are exposed.",
			Run: func(t *T) {
				want := event("T", awkward...)
				t.append(want)
				t.recorded(want)
			},
		},
		{
			Name: "nouns/an ID is any UUID but zero",
			Rule: "The zero UUID means none; any other is kept as it is.",
			Run: func(t *T) {
				want := []dcb.Event{
					{Type: "T", ID: uuid.MustParse("00000000-0000-0000-0000-000000000001")},
					{Type: "T", ID: uuid.Max},
					{Type: "T", ID: uuid.MustParse("018f3c6e-7d2a-7000-8000-0123456789ab")},
					{Type: "T"},
					{Type: "T"},
				}
				t.append(want...)
				t.recorded(want...)
			},
		},
		{
			Name: "nouns/RecordedAt is UTC in whole microseconds",
			Rule: "RecordedAt is UTC, in whole microseconds.",
			Run: func(t *T) {
				for range 20 {
					t.append(event("T"))
				}
				for _, e := range t.all() {
					if e.RecordedAt.Location() != time.UTC {
						t.Errorf("RecordedAt of position %d is in %v", e.Position, e.RecordedAt.Location())
					}
					if !e.RecordedAt.Equal(e.RecordedAt.Truncate(time.Microsecond)) {
						t.Errorf("RecordedAt of position %d has nanoseconds: %v", e.Position, e.RecordedAt)
					}
				}
			},
		},
		{
			Name: "nouns/RecordedAt is about now",
			Rule: "RecordedAt is the store's clock at that moment.",
			Run: func(t *T) {
				t.append(event("T"))
				// A day either way: the clock may be another machine's, but it is not zero and not in another unit.
				if age := time.Since(t.all()[0].RecordedAt); age < -24*time.Hour || age > 24*time.Hour {
					t.Errorf("an event recorded just now is %v old", age)
				}
			},
		},
		{
			Name: "nouns/RecordedAt never falls",
			Rule: "RecordedAt never falls as Position rises.",
			Run: func(t *T) {
				for range 4 {
					t.Go(func() {
						for range 25 {
							t.append(event("T"), event("T"))
						}
					})
				}
				t.others.Wait()
				t.recordedAtRises()
			},
		},
		{
			Name: "nouns/RecordedAt stays what it is",
			Rule: "RecordedAt is set by the store when the event is recorded.",
			Run: func(t *T) {
				t.append(event("T", "a"))
				first := t.all()[0].RecordedAt
				t.append(event("T", "a"))
				for _, opts := range []dcb.ReadOptions{{}, {Limit: 1}, {Backwards: true, Before: 2}} {
					if again := t.read(tagged("a"), opts).Events[0].RecordedAt; !again.Equal(first) {
						t.Errorf("RecordedAt was %v and is %v now", first, again)
					}
				}
			},
		},
	}
}

// awkward are types and tags that are valid, and that stores have been seen to get wrong. All are different from one another.
var awkward = []string{
	"a", "A", "ä", "Ä", "a\u0308", "ß", "ss", "SS", "İ", "i", "ı", "K", "\u212a", // the last is the Kelvin sign
	"ﬁ", "fi", "１", "1", "日本", "日", "😀", "👩‍👩‍👧", "\u200b", "\ufeff", "\ufffd", "\U0010ffff",
	" ", "  ", "\t", "\n", "\r\n", "\x01", "\x7f", "a ", " a", "a\n", "a b", "a\tb", "\u00a0",
	":", "a:", ":a", "a:b", "a:b:c", "a::b", "|", "a|b", "&", "a&b", "!", "!a", "a,b", ",", ";", "a;b", "(", ")", "(a)", "<->", "a <-> b",
	"'", "''", "a'b", `"`, `""`, `"a"`, "`", `\`, `\\`, `\'`, `\"`, `a\:b`, `\n`, `\x00`, `\0`,
	"%", "_", "a%", "a_", "%a%", "*", "a*", "a:*", "?", ".", ".*", "^a$", "[a]", "{}", "{a}", "{a,b}", "{\"a\"}", "[]", "$1", "$$", "%s", "@", "#", "/", "//", "~", "=", "a=b",
	"NULL", "null", "nil", "true", "0", "00", "-1", "1e3", "--", "; DROP TABLE events; --", "/*", "'A':1", "a:1A", "the", "and",
	strings.Repeat("long", 50),
}
