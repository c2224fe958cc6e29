package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// maxLines is where a file of code is no longer one idea.
const maxLines = 600

// forbidden are the words that no file may have, except where but matches on the same line. They are put together from parts, so that this file is
// not the first to be found.
var forbidden = []struct {
	word, but *regexp.Regexp
	text      string
}{
	{
		word: regexp.MustCompile(`(?:^|[^\w.-])/(?:home|root|Users|work` + `)/\w`),
		text: "a path of somebody's machine",
	},
	{
		word: regexp.MustCompile(`\b(?:TO` + `DO|FIX` + `ME|XX` + `X)\b`),
		but:  regexp.MustCompile(`#\d+`),
		text: "something left to do without the number of its issue, as in (#12)",
	},
}

// words reports forbidden words.
func words(h *house) []Problem {
	var problems []Problem
	for _, t := range h.texts {
		for i, line := range bytes.Split(t.bytes, []byte("\n")) {
			for _, f := range forbidden {
				if f.word.Match(line) && (f.but == nil || !f.but.Match(line)) {
					problems = append(problems, Problem{File: t.path, Line: i + 1, Text: f.text})
				}
			}
		}
	}
	return problems
}

// skips reports tests that may be skipped: a test that cannot run fails and says what it needs.
func skips(h *house) []Problem {
	var problems []Problem
	for _, c := range h.code {
		drawing := drawers(c)
		ast.Inspect(c.syntax, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, method.Sel.Name) || drawing[nameOf(method.X)] {
				return true
			}
			problems = append(problems, Problem{
				File: c.path, Line: h.line(call),
				Text: "a test must not be skipped; let it fail and say what it needs",
			})
			return true
		})
	}
	return problems
}

// drawers returns the names that c's functions give to a rapid.T. To skip with one of those is to draw again, not to skip a test.
func drawers(c *code) map[string]bool {
	names := make(map[string]bool)
	ast.Inspect(c.syntax, func(node ast.Node) bool {
		field, ok := node.(*ast.Field)
		if !ok {
			return true
		}
		if pointer, ok := field.Type.(*ast.StarExpr); ok {
			if t, ok := pointer.X.(*ast.SelectorExpr); ok && nameOf(t.X) == "rapid" {
				for _, name := range field.Names {
					names[name.Name] = true
				}
			}
		}
		return true
	})
	return names
}

func nameOf(e ast.Expr) string {
	if name, ok := e.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// lengths reports files of code that are too long. A table of test cases may be as long as it is.
func lengths(h *house) []Problem {
	var problems []Problem
	for c := range h.own {
		if lines := strings.Count(string(c.bytes), "\n"); lines > maxLines {
			problems = append(problems, Problem{File: c.path, Text: fmt.Sprintf("has %d lines; the limit is %d", lines, maxLines)})
		}
	}
	return problems
}
