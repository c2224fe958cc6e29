package tidy

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestTheHouseIsTidy(t *testing.T) {
	t.Parallel()
	problems, err := Check(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

// doc makes a package of what is about something else.
func doc(name, rest string) string {
	return "// Package " + name + " is for the test.\npackage " + name + "\n" + rest
}

// Each case is a repository as small as it can be, with all the problems that it has. Those without problems show that
// a rule does not bite what is right.
func TestEachRuleBites(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		// Who may import whom.
		{
			name: "the root imports another module",
			files: map[string]string{
				"dcb.go": doc("dcb", "import (\n\t\"context\"\n\t\"github.com/google/uuid\"\n\t\"github.com/jackc/pgx/v5\"\n)"),
			},
			want: []string{`dcb.go:6: room "." may not import github.com/jackc/pgx/v5 (see internal/tidy/rooms.go)`},
		},
		{
			name:  "the root imports internal",
			files: map[string]string{"dcb.go": doc("dcb", "import \"github.com/dcbstore/dcb/internal/head\"")},
			want:  []string{`dcb.go:3: room "." may not import github.com/dcbstore/dcb/internal/head (see internal/tidy/rooms.go)`},
		},
		{
			name:  "a room imports another room",
			files: map[string]string{"pgstore/a.go": doc("pgstore", "import \"github.com/dcbstore/dcb/memstore\"")},
			want:  []string{`pgstore/a.go:3: room "pgstore" may not import github.com/dcbstore/dcb/memstore (see internal/tidy/rooms.go)`},
		},
		{
			name: "a room imports itself, the root, internal, and the modules it is about",
			files: map[string]string{"pgstore/a.go": doc("pgstore", "import (\n\"github.com/dcbstore/dcb\"\n"+
				"\"github.com/dcbstore/dcb/internal/head\"\n\"github.com/dcbstore/dcb/pgstore/schema\"\n\"github.com/jackc/pgx/v5/pgxpool\"\n)")},
		},
		{
			name: "joining rooms import any room, and no test's",
			files: map[string]string{"stores/a.go": doc("stores",
				"import \"github.com/dcbstore/dcb/memstore\"\nimport \"github.com/dcbstore/dcb/dcbtest\"")},
			want: []string{`stores/a.go:4: room "stores" may not import github.com/dcbstore/dcb/dcbtest (see internal/tidy/rooms.go)`},
		},
		{
			name: "tests import the model, the kit and pgtest, and no other room",
			files: map[string]string{"pgstore/a_test.go": "package pgstore\nimport \"github.com/dcbstore/dcb/memstore\"\n" +
				"import \"github.com/dcbstore/dcb/dcbtest\"\nimport \"github.com/dcbstore/dcb/internal/pgtest\"\n" +
				"import \"testing\"\nimport \"github.com/dcbstore/dcb/stores\""},
			want: []string{`pgstore/a_test.go:6: room "pgstore" may not import github.com/dcbstore/dcb/stores (see internal/tidy/rooms.go)`},
		},
		{
			name: "the kit brings a module along, but its tests may",
			files: map[string]string{
				"dcbtest/a.go":      doc("dcbtest", "import \"testing\"\nimport \"github.com/google/go-cmp/cmp\""),
				"dcbtest/a_test.go": "package dcbtest\nimport \"github.com/google/go-cmp/cmp\"",
			},
			want: []string{`dcbtest/a.go:4: room "dcbtest" may not import github.com/google/go-cmp/cmp (see internal/tidy/rooms.go)`},
		},
		{
			name:  "testing in a program",
			files: map[string]string{"memstore/a.go": doc("memstore", "import \"testing\"")},
			want:  []string{`memstore/a.go:3: room "memstore" may not import testing (see internal/tidy/rooms.go)`},
		},
		{
			name:  "a room that nobody planned",
			files: map[string]string{"utils/strings/a.go": doc("strings", "")},
			want:  []string{`utils/strings/a.go: utils/strings is no room of internal/tidy/rooms.go`},
		},
		{
			name:  "a neighbour that only sounds like us",
			files: map[string]string{"memstore/a.go": doc("memstore", "import \"github.com/dcbstore/dcb-extra\"")},
			want:  []string{`memstore/a.go:3: room "memstore" may not import github.com/dcbstore/dcb-extra (see internal/tidy/rooms.go)`},
		},

		// Documentation.
		{
			name: "exports without a comment",
			files: map[string]string{"a.go": doc("dcb", `
const A = 1
var B int
type C struct{}
type D interface{ E() }
func F() {}
func (C) G() {}
func (*c[T]) H() {}
func (C) Error() string { return "" }
const i = 1
`)},
			want: []string{
				"a.go:4: A has no comment", "a.go:5: B has no comment", "a.go:6: C has no doc comment", "a.go:7: D has no doc comment",
				"a.go:7: E has no doc comment", "a.go:8: F has no doc comment", "a.go:9: G has no doc comment",
			},
		},
		{
			name: "comments that begin with something else",
			files: map[string]string{"a.go": doc("dcb", `
// This function does things.
func F() {}

// Gee is not G.
type G int
`)},
			want: []string{
				"a.go:5: the doc comment of F must begin with its name", "a.go:8: the doc comment of G must begin with its name",
			},
		},
		{
			name: "comments as they should be",
			files: map[string]string{"a.go": doc("dcb", `
// The limits.
const (
	A = 1
	B = 2
)

var (
	// C is something.
	C int
	D int // is something else
)

// An E is a thing.
type E int

// F does things.
func (E) F() {}

type (
	// G is a thing.
	G struct{}
)
`)},
		},
		{
			name: "a package without a comment, one with two, one with a wrong one",
			files: map[string]string{
				"a.go":          "package dcb\n",
				"memstore/a.go": doc("memstore", ""), "memstore/b.go": doc("memstore", ""),
				"pgstore/a.go":         "// This is pgstore.\npackage pgstore\n",
				"examples/hello/a.go":  "// Hello says hello.\npackage main\n",
				"examples/hello/b.go":  "package main\n",
				"stores/stores.pb.go":  "// Code generated by x. DO NOT EDIT.\npackage stores\n",
				"memstore/a_test.go":   "package memstore\n",
				"internal/model/m.txt": "not code",
			},
			want: []string{
				"a.go:1: package dcb has no package comment",
				"memstore/b.go:2: package memstore has a package comment in memstore/a.go already",
				`pgstore/a.go:2: the package comment must begin with "Package pgstore"`,
			},
		},

		// Copies.
		{
			name: "the rules of the contract, again",
			files: map[string]string{"pgstore/a.go": doc("pgstore", `
import ("errors"; "slices"; "github.com/dcbstore/dcb")
func accepts(q dcb.Query, e *dcb.Event) bool { return false }
func relevant(items []dcb.QueryItem, e ...dcb.SequencedEvent) bool { return false }
func has(e dcb.Event, tag string) bool { return slices.Contains(e.Tags, tag) }
func validateQuery() {}
func dedupTags() {}
const maxTagBytes = 1024
var errConflict = errors.New("dcb: conflict")
`)},
			want: []string{
				"pgstore/a.go:5: accepts decides about a query and an event; call dcb.Query.Matches",
				"pgstore/a.go:6: relevant decides about a query and an event; call dcb.Query.Matches",
				"pgstore/a.go:7: the tags or types of an event or item are searched here; call dcb.Query.Matches",
				"pgstore/a.go:8: validateQuery is a rule of the contract; it exists in the root",
				"pgstore/a.go:9: dedupTags is a rule of the contract; it exists in the root",
				"pgstore/a.go:10: maxTagBytes is a rule of the contract; it exists in the root",
				"pgstore/a.go:11: an error of the contract is made here; the list of them is errors.go in the root",
			},
		},
		{
			name: "errors mapped in two places of a store, and in one place of another",
			files: map[string]string{
				"pgstore/a.go":  doc("pgstore", "func a(err error) error { return &dcb.UnavailableError{Cause: err} }"),
				"pgstore/b.go":  "package pgstore\nfunc b(err error) error {\n\treturn &dcb.UnavailableError{Cause: err}\n}",
				"memstore/a.go": doc("memstore", "func a(err error) []error { return []error{&dcb.UnavailableError{}, &dcb.UnavailableError{}} }"),
			},
			want: []string{"pgstore/b.go:3: dcb.UnavailableError is made in pgstore/a.go already; one place maps the errors of a store"},
		},
		{
			name: "the root's own rules, what only resembles them, and an application that looks into its own events",
			files: map[string]string{
				"a.go": doc("dcb", "func validateQuery() {}\nfunc has(e Event, tag string) bool { return slices.Contains(e.Tags, tag) }"),
				"memstore/a.go": doc("memstore", "func matches(q dcb.Query, b bounds) bool { return false }\n"+
					"func find(q dcb.Query, e dcb.Event) dcb.Position { return 0 }\nfunc validateOptions() {}"),
				"dcbtest/a.go":    doc("dcbtest", "func tries(s dcb.Store, q dcb.Query, events ...dcb.Event) bool { return false }"),
				"examples/x/a.go": doc("x", "func has(e dcb.Event, tag string) bool { return slices.Contains(e.Tags, tag) }"),
			},
		},
		{
			name: "a function copied with other names",
			files: map[string]string{
				"memstore/a.go": doc("memstore", "func a(list []int) (total int) {\n"+strings.Repeat("for i, x := range list { if x > 3 { total += i * x } }\n", 5)+"return total\n}"),
				"pgstore/a.go":  doc("pgstore", "func b(rows []int) (sum int) {\n"+strings.Repeat("for n, y := range rows { if y > 3 { sum += n * y } }\n", 5)+"return sum\n}"),
			},
			want: []string{"pgstore/a.go:3: b has 90 tokens in a row that are a copy of a in memstore/a.go"},
		},
		{
			name: "functions that only begin alike",
			files: map[string]string{
				"memstore/a.go": doc("memstore", "func a(list []int) (total int) {\n"+strings.Repeat("for i, x := range list { if x > 3 { total += i * x } }\n", 2)+"return total\n}"),
				"pgstore/a.go":  doc("pgstore", "func b(rows []int) (sum int) {\n"+strings.Repeat("for n, y := range rows { if y > 3 { sum += n * y } }\n", 2)+"return sum + 1\n}"),
			},
		},

		// Text.
		{
			name: "paths of somebody's machine",
			files: map[string]string{
				"Makefile":     "run:\n\tcat /ho" + "me/ann/events\n",
				".ci/run":      "cd '/Us" + "ers/ann'\n",
				"docs/a.md":    "see https://example.com/ho" + "me/ann and ./ho" + "me/x\n",
				"pgstore/a.go": doc("pgstore", "const dir = \"/wo"+"rk/main\"\n"),
				"picture":      "\x00 /ro" + "ot/x",
			},
			want: []string{
				".ci/run:1: a path of somebody's machine", "Makefile:2: a path of somebody's machine",
				"pgstore/a.go:3: a path of somebody's machine",
			},
		},
		{
			name: "things left to do",
			files: map[string]string{
				"a.go": doc("dcb", "// TO"+"DO: later\n\n// FIX"+"ME(#12): later, and written down\n"),
			},
			want: []string{"a.go:3: something left to do without the number of its issue, as in (#12)"},
		},
		{
			name: "a skipped test",
			files: map[string]string{
				"a_test.go": "package dcb\nfunc TestA(t *testing.T) {\n\tt.Run(\"b\", func(tt *testing.T) { tt.Skipf(\"no server\") })\n\tt.SkipNow()\n}",
			},
			want: []string{
				"a_test.go:3: a test must not be skipped; let it fail and say what it needs",
				"a_test.go:4: a test must not be skipped; let it fail and say what it needs",
			},
		},
		{
			name: "a random test that draws again",
			files: map[string]string{
				"a_test.go": "package dcb\nfunc step(r *rapid.T) {\n\tr.Skip(\"nothing is recorded\")\n}",
			},
		},
		{
			name: "a file that is too long, and a test that may be",
			files: map[string]string{
				"a.go":      doc("dcb", strings.Repeat("\n", 600)),
				"b.go":      "package dcb\n" + strings.Repeat("\n", 599),
				"a_test.go": "package dcb\n" + strings.Repeat("\n", 2000),
			},
			want: []string{"a.go: has 602 lines; the limit is 600"},
		},

		// Links.
		{
			name: "links that lead nowhere",
			files: map[string]string{
				"README.md":      "[a](docs/gone.md)\n[b](docs/here.md#nothing) [c](#missing)\n\n[d]: ../outside\n",
				"docs/here.md":   "# Here\n",
				"docs/no-links.": "[a](gone.md)\n",
			},
			want: []string{
				"README.md:1: the link to docs/gone.md leads nowhere", "README.md:2: the link to #missing leads nowhere",
				"README.md:2: the link to docs/here.md#nothing leads nowhere", "README.md:4: the link to ../outside leads nowhere",
			},
		},
		{
			name: "links that lead somewhere, and what only looks like one",
			files: map[string]string{
				"README.md": "# Reading the source: `dcb`\n[a](docs/here.md \"title\") [b](docs/here.md#two-words) [c](docs) [d](./) " +
					"[e](#reading-the-source-dcb) [f](https://dcb.events) `m[k](gone)`\n```go\nm[k](gone)\n# Not a heading\n```\n",
				"docs/here.md": "## Two words\n[up](../README.md)\n",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			repo := fstest.MapFS{}
			for name, content := range c.files {
				repo[name] = &fstest.MapFile{Data: []byte(content)}
			}
			problems, err := Check(repo)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestCodeThatDoesNotParseIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := Check(fstest.MapFS{"a.go": {Data: []byte("package")}}); err == nil {
		t.Error("no error")
	}
}
