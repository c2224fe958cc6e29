package querytext_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/cmd/dcbstore/internal/querytext"
)

func TestParseItem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]dcb.QueryItem{
		"*":                          {},
		" * ":                        {},
		"A":                          {Types: []string{"A"}},
		"A,B":                        {Types: []string{"A", "B"}},
		"A , B,\tC":                  {Types: []string{"A", "B", "C"}},
		"@x":                         {Tags: []string{"x"}},
		"@student:ann @course:go":    {Tags: []string{"student:ann", "course:go"}},
		"A,B @x @y":                  {Types: []string{"A", "B"}, Tags: []string{"x", "y"}},
		"@x A @y":                    {Types: []string{"A"}, Tags: []string{"x", "y"}},
		"@@x":                        {Tags: []string{"@x"}},
		`"@x"`:                       {Types: []string{"@x"}},
		`"*"`:                        {Types: []string{"*"}},
		`a*`:                         {Types: []string{"a*"}},
		`@*`:                         {Tags: []string{"*"}},
		`"a b","c,d" @"e \"f\"" @g`:  {Types: []string{"a b", "c,d"}, Tags: []string{`e "f"`, "g"}},
		`it's @O'Brien @back\slash`:  {Types: []string{"it's"}, Tags: []string{"O'Brien", `back\slash`}},
		`"\u00fc" @ü`:                {Types: []string{"ü"}, Tags: []string{"ü"}},
		`"tab\there" @"line\nbreak"`: {Types: []string{"tab\there"}, Tags: []string{"line\nbreak"}},
	} {
		got, err := querytext.ParseItem(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseItemNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":          "empty",
		"  ":        "empty",
		"A B":       "write A,B",
		"A @x B":    "write A,B",
		"* @x":      "only word",
		"A,*":       "only word",
		",A":        "between two types",
		"A,":        "between two types",
		"A,,B":      "between two types",
		"@x,@y":     "",
		"@x,y":      "",
		"A,@x":      "two items",
		"@":         "no tag after @",
		"@ x":       "no tag after @",
		`a"b`:       `write "a\"b"`,
		`"a`:        "in double quotes",
		`"a"b`:      "a space or a comma",
		`"\q"`:      "in double quotes",
		"\"\xff\"":  "UTF-8",
		`"a" , @"b`: "in double quotes",
	} {
		item, err := querytext.ParseItem(text)
		if err == nil {
			t.Errorf("ParseItem(%q) = %+v, want an error", text, item)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("ParseItem(%q) = %v, want %q in it", text, err, want)
		}
	}
}

func TestParseReadsWhatFormatWrote(t *testing.T) {
	t.Parallel()
	name := rapid.OneOf(
		rapid.StringN(1, 20, -1),
		rapid.StringOfN(rapid.RuneFrom([]rune("aB@*,\"'\\ \t\n-:\u2028é")), 1, 8, -1),
	)
	item := rapid.Custom(func(t *rapid.T) dcb.QueryItem {
		return dcb.QueryItem{
			Types: rapid.SliceOfN(name, 0, 3).Draw(t, "types"),
			Tags:  rapid.SliceOfN(name, 0, 3).Draw(t, "tags"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		want := dcb.Query(rapid.SliceOfN(item, 1, 4).Draw(t, "query"))
		texts := querytext.Format(want)
		got, err := querytext.Parse(texts...)
		if err != nil {
			t.Fatalf("%q: %v", texts, err)
		}
		if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", texts, diff)
		}
	})
}

// plain replaces empty lists with nil.
func plain(q dcb.Query) dcb.Query {
	for i := range q {
		if len(q[i].Types) == 0 {
			q[i].Types = nil
		}
		if len(q[i].Tags) == 0 {
			q[i].Tags = nil
		}
	}
	return q
}

func FuzzParseItemReadsWhatFormatItemWrote(f *testing.F) {
	for _, text := range []string{"*", "A,B @x @y", `"a b" @"c \"d\""`, "@@", `"*"`, "A , B", "a\\b", "\u00a0@x", "@\"\\u0000\""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		item, err := querytext.ParseItem(text)
		if err != nil || !utf8.ValidString(text) {
			return
		}
		again, err := querytext.ParseItem(querytext.FormatItem(item))
		if err != nil {
			t.Fatalf("ParseItem(%q) = %+v; FormatItem gives %q: %v", text, item, querytext.FormatItem(item), err)
		}
		if diff := cmp.Diff(item, again); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", text, diff)
		}
	})
}
