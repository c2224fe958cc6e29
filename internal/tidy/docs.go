package tidy

import (
	"fmt"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// wellKnown are the methods whose name says it all, because an interface of the standard library asks for them.
var wellKnown = []string{"Error", "String", "Unwrap", "Is", "Len", "Less", "Swap", "Push", "Pop"}

// docs reports what is exported without a doc comment that begins with its name, and packages that do not have
// exactly one package comment.
func docs(h *house) []Problem {
	d := documented{house: h, packages: make(map[string][]*code)}
	for c := range h.own {
		d.packages[c.dir()] = append(d.packages[c.dir()], c)
		for _, decl := range c.syntax.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				d.function(c, decl)
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					d.spec(c, decl, spec)
				}
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(d.packages)) {
		d.packageComment(dir)
	}
	return d.problems
}

type documented struct {
	*house
	packages map[string][]*code
	problems []Problem
}

func (d *documented) report(c *code, node ast.Node, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: c.path, Line: d.line(node), Text: fmt.Sprintf(format, args...)})
}

func (d *documented) packageComment(dir string) {
	files := d.packages[dir]
	var with []*code
	for _, c := range files {
		if c.syntax.Doc != nil {
			with = append(with, c)
		}
	}
	if len(with) == 0 {
		d.report(files[0], files[0].syntax, "package %s has no package comment", files[0].syntax.Name)
		return
	}
	for _, c := range with[1:] {
		d.report(c, c.syntax, "package %s has a package comment in %s already", c.syntax.Name, with[0].path)
	}
	if name := with[0].syntax.Name.Name; name != "main" && !strings.HasPrefix(with[0].syntax.Doc.Text(), "Package "+name+" ") {
		d.report(with[0], with[0].syntax, "the package comment must begin with %q", "Package "+name)
	}
}

func (d *documented) function(c *code, f *ast.FuncDecl) {
	if !f.Name.IsExported() {
		return
	}
	if f.Recv != nil && (slices.Contains(wellKnown, f.Name.Name) || !ast.IsExported(typeName(f.Recv.List[0].Type))) {
		return
	}
	d.named(c, f.Name, f.Doc)
}

func (d *documented) spec(c *code, decl *ast.GenDecl, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if !spec.Name.IsExported() {
			return
		}
		doc := spec.Doc
		if doc == nil && len(decl.Specs) == 1 {
			doc = decl.Doc
		}
		d.named(c, spec.Name, doc)
		if contract, ok := spec.Type.(*ast.InterfaceType); ok {
			d.methods(c, contract)
		}
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			// Of constants and variables one comment may speak for several, and one at the end of the line is enough.
			if name.IsExported() && spec.Doc == nil && spec.Comment == nil && decl.Doc == nil {
				d.report(c, name, "%s has no comment", name)
			}
		}
	}
}

func (d *documented) methods(c *code, contract *ast.InterfaceType) {
	for _, method := range contract.Methods.List {
		for _, name := range method.Names {
			if name.IsExported() && !slices.Contains(wellKnown, name.Name) {
				d.named(c, name, method.Doc)
			}
		}
	}
}

func (d *documented) named(c *code, name *ast.Ident, doc *ast.CommentGroup) {
	if doc == nil {
		d.report(c, name, "%s has no doc comment", name)
		return
	}
	begins := regexp.MustCompile(`^(?:(?:An?|The) )?` + name.Name + `\b`)
	if !begins.MatchString(doc.Text()) {
		d.report(c, name, "the doc comment of %s must begin with its name", name)
	}
}

// typeName returns the name of a receiver's type.
func typeName(receiver ast.Expr) string {
	for {
		switch e := receiver.(type) {
		case *ast.StarExpr:
			receiver = e.X
		case *ast.IndexExpr:
			receiver = e.X
		case *ast.IndexListExpr:
			receiver = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}
