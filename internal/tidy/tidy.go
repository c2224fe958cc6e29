// Package tidy keeps the house in order: its test reads every file of the repository and fails where one breaks a rule that
// a reader would otherwise have to watch over. Start reading at [Check]; each rule has a file of its own.
//
//   - rooms.go: who may import whom
//   - docs.go: every export and every package is documented
//   - copies.go: the rules of the contract exist once, and no code twice
//   - text.go: no paths of somebody's machine, nothing left to do without an issue, no skipped tests, no huge files
//   - links.go: the links of the documentation lead somewhere
package tidy

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// module is the module's path, and so the import path of the root.
const module = "github.com/dcbstore/dcb"

// Problem is one place where a rule is broken.
type Problem struct {
	// File is the path from the top of the repository, with slashes.
	File string
	// Line counts from 1; 0 means the file as a whole.
	Line int
	// Text says what is wrong and what would be right.
	Text string
}

func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Check returns every problem of the repository whose top is repo, by file and line. The error is about reading it.
func Check(repo fs.FS) ([]Problem, error) {
	h, err := read(repo)
	if err != nil {
		return nil, fmt.Errorf("tidy: %w", err)
	}
	var problems []Problem
	for _, rule := range []func(*house) []Problem{
		imports, docs, rulesOnce, clones, words, skips, lengths, links,
	} {
		problems = append(problems, rule(h)...)
	}
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return problems, nil
}

// house is the repository as the rules see it, each list in the order of the paths.
type house struct {
	fset  *token.FileSet
	code  []*code
	texts []text // every file that is text, code too
}

type text struct {
	path  string
	bytes []byte
}

// code is a file in Go.
type code struct {
	text
	syntax    *ast.File
	test      bool
	generated bool
}

func (c *code) dir() string { return path.Dir(c.path) }

func (h *house) line(node ast.Node) int { return h.fset.Position(node.Pos()).Line }

// own yields the code that is written here and runs outside of tests: what most rules are about.
func (h *house) own(yield func(*code) bool) {
	for _, c := range h.code {
		if !c.test && !c.generated && !yield(c) {
			return
		}
	}
}

func read(repo fs.FS) (*house, error) {
	h := &house{fset: token.NewFileSet()}
	err := fs.WalkDir(repo, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && notOurs(name):
			return fs.SkipDir
		case !entry.Type().IsRegular() || notOurs(name):
			return nil
		}
		return h.add(repo, name)
	})
	return h, err
}

// notOurs reports whether a name is not part of what is committed; compare .gitignore. In a work tree .git is a file.
func notOurs(name string) bool {
	return slices.Contains([]string{".git", "bin", "dcb-data", "dist"}, path.Base(name))
}

func (h *house) add(repo fs.FS, name string) error {
	content, err := fs.ReadFile(repo, name)
	if err != nil {
		return err
	}
	if bytes.IndexByte(content, 0) >= 0 {
		return nil // not text
	}
	t := text{path: name, bytes: content}
	h.texts = append(h.texts, t)
	if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") {
		return nil
	}
	syntax, err := parser.ParseFile(h.fset, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	h.code = append(h.code, &code{
		text: t, syntax: syntax, test: strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(syntax),
	})
	return nil
}
