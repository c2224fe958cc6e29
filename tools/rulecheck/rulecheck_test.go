package main

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestCheckFindsRulesThatAreWrittenTwice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{
			name: "each kind of rule",
			files: map[string]string{"pgstore/a.go": `package pgstore
import ("errors"; "slices"; "github.com/dcbstore/dcb")
func accepts(q dcb.Query, e *dcb.Event) bool { return false }
func relevant(items []dcb.QueryItem, e ...dcb.SequencedEvent) bool { return false }
func has(e dcb.Event, tag string) bool { return slices.Contains(e.Tags, tag) }
func validateQuery() {}
func dedupTags() {}
const maxTagBytes = 1024
var errConflict = errors.New("dcb: conflict")
`},
			want: []string{
				"pgstore/a.go:3: accepts decides about a query and an event; call dcb.Query.Matches",
				"pgstore/a.go:4: relevant decides about a query and an event; call dcb.Query.Matches",
				"pgstore/a.go:5: the tags or types of an event or item are searched here; call dcb.Query.Matches",
				"pgstore/a.go:6: validateQuery is the name of a rule of the contract; call the one in the root package",
				"pgstore/a.go:7: dedupTags is the name of a rule of the contract; call the one in the root package",
				"pgstore/a.go:8: maxTagBytes is the name of a rule of the contract; call the one in the root package",
				"pgstore/a.go:9: an error of the contract is made here; errors.go of the root package has all of them",
			},
		},
		{
			name: "errors mapped in two files of a package, and in one file of another",
			files: map[string]string{
				"pgstore/a.go":  "package pgstore\nfunc a(err error) error { return &dcb.UnavailableError{Cause: err} }",
				"pgstore/b.go":  "package pgstore\nfunc b(err error) error {\n\treturn &dcb.UnavailableError{Cause: err}\n}",
				"memstore/a.go": "package memstore\nfunc a(err error) []error { return []error{&dcb.UnavailableError{}, &dcb.UnavailableError{}} }",
			},
			want: []string{"pgstore/b.go:3: dcb.UnavailableError is also made in pgstore/a.go; one file of a package maps its errors"},
		},
		{
			name: "the rules of the root package, tests, and code that resembles a rule",
			files: map[string]string{
				"a.go":              "package dcb\nfunc validateQuery() {}\nfunc has(e Event, tag string) bool { return slices.Contains(e.Tags, tag) }",
				"pgstore/a_test.go": "package pgstore\nfunc validateQuery() {}",
				"memstore/a.go": "package memstore\nfunc matches(q dcb.Query, b bounds) bool { return false }\n" +
					"func find(q dcb.Query, e dcb.Event) dcb.Position { return 0 }\nfunc validateOptions() {}",
				"dcbtest/a.go":    "package dcbtest\nfunc tries(s dcb.Store, q dcb.Query, events ...dcb.Event) bool { return false }",
				"examples/x/a.go": "package x\nfunc has(e dcb.Event, tag string) bool { return slices.Contains(e.Tags, tag) }",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := fstest.MapFS{}
			for name, content := range c.files {
				root[name] = &fstest.MapFile{Data: []byte(content)}
			}
			problems, err := Check(root)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("Check =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestCheckFailsOnCodeThatDoesNotParse(t *testing.T) {
	t.Parallel()
	if _, err := Check(fstest.MapFS{"memstore/a.go": {Data: []byte("package")}}); err == nil {
		t.Error("Check = nil, want a syntax error")
	}
}
