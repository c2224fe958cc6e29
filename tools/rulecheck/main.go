// Command rulecheck finds rules of the contract that are written a second time. The root package
// has each rule once: what matches, what is valid, what an error means. Other packages call it.
//
// It recognizes a rule by its name and by its shape:
//
//   - functions, constants and variables with the names of validations and limits
//   - functions that decide about a query and an event, and searches in the tags of an event
//   - errors whose text begins with the prefix of the root package
//   - errors of the contract that a package makes in more than one file
//
// It prints one line for each, and exits with code 1 if there is one:
//
//	go -C tools run ./rulecheck ..
package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: rulecheck DIRECTORY")
		os.Exit(2)
	}
	problems, err := Check(os.DirFS(os.Args[1]))
	if err != nil {
		fmt.Fprintln(os.Stderr, "rulecheck:", err)
		os.Exit(2)
	}
	for _, p := range problems {
		fmt.Println(p)
	}
	if len(problems) > 0 {
		fmt.Fprintf(os.Stderr, "rulecheck: %d rules of the contract are written twice\n", len(problems))
		os.Exit(1)
	}
}

// Problem is one rule that is written a second time.
type Problem struct {
	File string // the path from the root of the repository, with slashes
	Line int    // from 1
	Text string
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// Check returns the problems of the repository whose root is root, by file and line. The error is
// of reading it.
func Check(root fs.FS) ([]Problem, error) {
	c := &checker{fset: token.NewFileSet(), madeIn: make(map[string]string)}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "dist", "testdata", "tools"}, entry.Name()):
			return fs.SkipDir
		case path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || path.Dir(name) == ".":
			return nil
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		return c.check(name, content)
	})
	slices.SortFunc(c.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return c.problems, err
}

// ruleName matches the names of the rules of the root package.
var ruleName = regexp.MustCompile(`(?i)^(` +
	`validate_?(append|read|events?|query|queries|types?|tags?|metadata|ids?|limits?|text)` +
	`|(unique|distinct|dedup\w*|set_?of)_?(tags|types)` +
	`|(is_?)?retryable` +
	`|max_?(type|tag|data|metadata_?(key|value)|append|query)_?bytes|max_?(tags|metadata|query_?items)` +
	`)$`)

// contractErrors are the errors that a package makes of what its medium reports, in one file.
var contractErrors = []string{"UnavailableError", "ConflictError"}

type checker struct {
	fset     *token.FileSet
	file     string            // the file that is being checked
	madeIn   map[string]string // the file that makes an error, by directory and error
	problems []Problem
}

func (c *checker) report(node ast.Node, format string, args ...any) {
	c.problems = append(c.problems, Problem{File: c.file, Line: c.fset.Position(node.Pos()).Line, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) check(name string, content []byte) error {
	syntax, err := parser.ParseFile(c.fset, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if !ast.IsGenerated(syntax) {
		c.file = name
		ast.Inspect(syntax, c.visit)
	}
	return nil
}

func (c *checker) visit(node ast.Node) bool {
	switch node := node.(type) {
	case *ast.FuncDecl:
		c.checkName(node.Name)
		if takes(node, "Query", "QueryItem") && takes(node, "Event", "SequencedEvent") && !takes(node, "Store") && returnsBool(node) {
			c.report(node, "%s decides about a query and an event; call dcb.Query.Matches", node.Name)
		}
	case *ast.ValueSpec:
		for _, name := range node.Names {
			c.checkName(name)
		}
	case *ast.CallExpr:
		c.checkCall(node)
	case *ast.CompositeLit:
		c.checkLiteral(node)
	}
	return true
}

func (c *checker) checkName(name *ast.Ident) {
	if ruleName.MatchString(name.Name) {
		c.report(name, "%s is the name of a rule of the contract; call the one in the root package", name)
	}
}

func (c *checker) checkCall(call *ast.CallExpr) {
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return
	}
	from, _ := function.X.(*ast.Ident)
	switch {
	case from == nil:
	case from.Name == "slices" && function.Sel.Name == "Contains" && selects(call.Args[0], "Tags", "Types") && !c.isApplication():
		c.report(call, "the tags or types of an event or item are searched here; call dcb.Query.Matches")
	case from.Name == "errors" && function.Sel.Name == "New" && beginsWith(call.Args[0], "dcb: "):
		c.report(call, "an error of the contract is made here; errors.go of the root package has all of them")
	}
}

// isApplication reports whether the file may look for its own tags in its own events. The cases
// of the kit are small applications.
func (c *checker) isApplication() bool {
	first, _, _ := strings.Cut(c.file, "/")
	return slices.Contains([]string{"cmd", "dcbtest", "examples"}, first)
}

func (c *checker) checkLiteral(literal *ast.CompositeLit) {
	name := contractType(literal.Type)
	if !slices.Contains(contractErrors, name) {
		return
	}
	key := path.Join(path.Dir(c.file), name)
	if first, ok := c.madeIn[key]; ok && first != c.file {
		c.report(literal, "dcb.%s is also made in %s; one file of a package maps its errors", name, first)
		return
	}
	c.madeIn[key] = c.file
}

// takes reports whether f has a parameter of one of the contract's types, or of a pointer to one,
// a slice of them, or any number of them.
func takes(f *ast.FuncDecl, names ...string) bool {
	return slices.ContainsFunc(f.Type.Params.List, func(param *ast.Field) bool {
		return slices.Contains(names, contractType(param.Type))
	})
}

// returnsBool reports whether the only result of f is a bool.
func returnsBool(f *ast.FuncDecl) bool {
	if f.Type.Results == nil || len(f.Type.Results.List) != 1 {
		return false
	}
	result, ok := f.Type.Results.List[0].Type.(*ast.Ident)
	return ok && result.Name == "bool"
}

// contractType returns the name of the root package's type in e: the type itself, a pointer to
// it, a slice of it, or a variadic parameter.
func contractType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return contractType(e.X)
	case *ast.ArrayType:
		return contractType(e.Elt)
	case *ast.Ellipsis:
		return contractType(e.Elt)
	case *ast.SelectorExpr:
		if from, ok := e.X.(*ast.Ident); ok && from.Name == "dcb" {
			return e.Sel.Name
		}
	}
	return ""
}

func selects(e ast.Expr, names ...string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	return ok && slices.Contains(names, selector.Sel.Name)
}

func beginsWith(e ast.Expr, prefix string) bool {
	literal, ok := e.(*ast.BasicLit)
	return ok && strings.HasPrefix(strings.Trim(literal.Value, "\"`"), prefix)
}
