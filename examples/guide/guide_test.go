package guide_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTheGuideShowsThisCode compares the snippets of docs/guide.md, paragraph by paragraph, with the files of this folder, whose tests and examples
// run them.
func TestTheGuideShowsThisCode(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var code []string // at each indentation, so that a snippet may be from within a function
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
		t.Errorf("the guide has %d snippets; they are looked for wrongly", len(snippets))
	}
	for _, snippet := range snippets {
		snippet, _, _ = strings.Cut(snippet, "```")
		for paragraph := range strings.SplitSeq(strings.TrimSuffix(snippet, "\n"), "\n\n") {
			shown := func(c string) bool { return strings.Contains(c, "\n"+paragraph+"\n") }
			if !slices.ContainsFunc(code, shown) {
				t.Errorf("no file of examples/guide has this piece of the guide:\n%s", paragraph)
			}
		}
	}
}
