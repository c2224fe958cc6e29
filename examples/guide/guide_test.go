package guide_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestGuideShowsThisCode compares the snippets of docs/guide.md, paragraph by paragraph, with the
// files of this directory, whose tests and examples run them.
func TestGuideShowsThisCode(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var code []string // at several indentations, because a snippet may come from inside a function
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, indent := range []string{"\n", "\n\t", "\n\t\t"} {
			code = append(code, strings.ReplaceAll("\n"+string(source), indent, "\n"))
		}
	}
	snippets := strings.Split(string(guide), "```go\n")[1:]
	if len(snippets) < 10 {
		t.Errorf("the test finds only %d snippets in the guide", len(snippets))
	}
	for _, snippet := range snippets {
		snippet, _, _ = strings.Cut(snippet, "```")
		for paragraph := range strings.SplitSeq(strings.TrimSuffix(snippet, "\n"), "\n\n") {
			shown := func(c string) bool { return strings.Contains(c, "\n"+paragraph+"\n") }
			if !slices.ContainsFunc(code, shown) {
				t.Errorf("no file of examples/guide contains this piece of the guide:\n%s", paragraph)
			}
		}
	}
}
