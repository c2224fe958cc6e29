package tidy

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// rootOnly are names that only the root may give to a function, constant or variable, because there is what they stand for. A rule
// that is needed elsewhere is called there, not written again.
var rootOnly = regexp.MustCompile(`(?i)^(` +
	`validate_?(append|read|events?|query|queries|types?|tags?|metadata|ids?|limits?|text)` +
	`|(unique|distinct|dedup\w*|set_?of)_?(tags|types)` +
	`|(is_?)?retryable` +
	`|max_?(type|tag|data|metadata_?(key|value)|append|query)_?bytes|max_?(tags|metadata|query_?items)` +
	`)$`)

// onceARoom are the errors that a store makes of what its medium says. A store does that in one file.
var onceARoom = []string{"UnavailableError", "ConflictError"}

// rulesOnce reports rules of the contract that are written a second time. It knows them by their names and by their shape: what
// decides about a query and an event is matching; what searches an event's tags is too; what begins "dcb: " is a copy
// of one of the root's errors.
func rulesOnce(h *house) []Problem {
	r := rulebook{house: h, mapped: make(map[string]string)}
	for c := range h.own {
		if c.dir() == "." || strings.HasPrefix(c.dir(), "tools") || c.dir() == "internal/tidy" {
			continue
		}
		r.code = c
		ast.Inspect(c.syntax, r.visit)
	}
	return r.problems
}

type rulebook struct {
	*house
	code     *code             // the file that is looked at
	mapped   map[string]string // the file that makes an error, by directory and error
	problems []Problem
}

func (r *rulebook) report(node ast.Node, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: r.code.path, Line: r.line(node), Text: fmt.Sprintf(format, args...)})
}

func (r *rulebook) visit(node ast.Node) bool {
	switch node := node.(type) {
	case *ast.FuncDecl:
		r.name(node.Name)
		if takes(node, "Query", "QueryItem") && takes(node, "Event", "SequencedEvent") && !takes(node, "Store") && decides(node) {
			r.report(node, "%s decides about a query and an event; call dcb.Query.Matches", node.Name)
		}
	case *ast.ValueSpec:
		for _, name := range node.Names {
			r.name(name)
		}
	case *ast.CallExpr:
		r.call(node)
	case *ast.CompositeLit:
		r.literal(node)
	}
	return true
}

func (r *rulebook) name(name *ast.Ident) {
	if rootOnly.MatchString(name.Name) {
		r.report(name, "%s is a rule of the contract; it exists in the root", name)
	}
}

func (r *rulebook) call(call *ast.CallExpr) {
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return
	}
	here, _ := roomOf(r.code.dir())
	// An application may look for a tag of its own in an event of its own, and the kit has small applications as cases.
	application := slices.Contains(here.rooms, every) || here.forTest
	switch of, _ := function.X.(*ast.Ident); {
	case of == nil:
	case of.Name == "slices" && function.Sel.Name == "Contains" && selects(call.Args[0], "Tags", "Types") && !application:
		r.report(call, "the tags or types of an event or item are searched here; call dcb.Query.Matches")
	case of.Name == "errors" && function.Sel.Name == "New" && beginsWith(call.Args[0], "dcb: "):
		r.report(call, "an error of the contract is made here; the list of them is errors.go in the root")
	}
}

func (r *rulebook) literal(literal *ast.CompositeLit) {
	name := contractType(literal.Type)
	if !slices.Contains(onceARoom, name) {
		return
	}
	key := path.Join(r.code.dir(), name)
	if first, ok := r.mapped[key]; ok && first != r.code.path {
		r.report(literal, "dcb.%s is made in %s already; one place maps the errors of a store", name, first)
		return
	}
	r.mapped[key] = r.code.path
}

// takes reports whether f has a parameter (or is a method) of one of the contract's types, or of a pointer to or slice of one.
func takes(f *ast.FuncDecl, names ...string) bool {
	return slices.ContainsFunc(f.Type.Params.List, func(param *ast.Field) bool {
		return slices.Contains(names, contractType(param.Type))
	})
}

// decides reports whether f returns nothing but a bool.
func decides(f *ast.FuncDecl) bool {
	if f.Type.Results == nil || len(f.Type.Results.List) != 1 {
		return false
	}
	result, ok := f.Type.Results.List[0].Type.(*ast.Ident)
	return ok && result.Name == "bool"
}

// contractType returns X if e is dcb.X, or a pointer to, a slice of, or any number of those.
func contractType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return contractType(e.X)
	case *ast.ArrayType:
		return contractType(e.Elt)
	case *ast.Ellipsis:
		return contractType(e.Elt)
	case *ast.SelectorExpr:
		if of, ok := e.X.(*ast.Ident); ok && of.Name == "dcb" {
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
