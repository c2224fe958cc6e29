package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// module is the import path of the root directory.
const module = "github.com/dcbstore/dcb"

// Problem is one reference to something that does not exist.
type Problem struct {
	File string // the path from the root of the repository, with slashes
	Line int    // from 1
	Text string
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// Check returns the problems of the repository whose root is root, by file and line. The error is
// of reading it.
func Check(root fs.FS) ([]Problem, error) {
	r, err := read(root)
	if err != nil {
		return nil, err
	}
	for _, p := range r.pages {
		r.checkPage(p)
	}
	for _, f := range r.code {
		r.checkComments(f)
	}
	slices.SortFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return r.problems, nil
}

// repo is what references can name.
type repo struct {
	fset     *token.FileSet
	paths    map[string]bool // files, directories, and the anchors of pages as file#anchor
	targets  map[string]bool // of the Makefile
	words    map[string]bool // identifiers and other words of all files except pages
	names    map[string]bool // by which code imports packages, ours and others
	packages map[string]*pkg // ours, by directory
	pages    []page
	code     []*goFile
	problems []Problem
}

type page struct {
	path  string
	lines []string
}

type goFile struct {
	path    string
	syntax  *ast.File
	imports map[string]string // paths by name
	idents  map[string]bool
}

// pkg has the declared names of a package. A member of a type is Type.member.
type pkg struct {
	name     string
	declared map[string]bool
}

func (r *repo) report(file string, line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
}

func read(root fs.FS) (*repo, error) {
	r := &repo{
		fset: token.NewFileSet(), paths: make(map[string]bool), targets: make(map[string]bool),
		words: make(map[string]bool), names: make(map[string]bool), packages: make(map[string]*pkg),
	}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "bin", "dcb-data", "dist"}, entry.Name()):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		return r.add(name, content)
	})
	return r, err
}

var (
	target = regexp.MustCompile(`(?m)^([a-z][\w-]*):`)
	word   = regexp.MustCompile(`[A-Za-z_]\w*`)
)

func (r *repo) add(name string, content []byte) error {
	for parent := name; !r.paths[parent]; parent = path.Dir(parent) {
		r.paths[parent] = true
	}
	if bytes.IndexByte(content, 0) >= 0 {
		return nil // not a text
	}
	if path.Ext(name) == ".md" {
		p := page{path: name, lines: strings.Split(string(content), "\n")}
		for line := range p.prose() {
			if heading, ok := strings.CutPrefix(strings.TrimLeft(line.text, "#"), " "); ok && strings.HasPrefix(line.text, "#") {
				r.paths[name+"#"+anchor(heading)] = true
			}
		}
		r.pages = append(r.pages, p)
		return nil
	}
	if path.Base(name) == "Makefile" {
		for _, match := range target.FindAllSubmatch(content, -1) {
			r.targets[string(match[1])] = true
		}
	}
	if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") {
		r.addWords(string(content))
		return nil
	}
	return r.addCode(name, content)
}

func (r *repo) addWords(text string) {
	for _, w := range word.FindAllString(text, -1) {
		r.words[w] = true
	}
}

func (r *repo) addCode(name string, content []byte) error {
	syntax, err := parser.ParseFile(r.fset, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	f := &goFile{path: name, syntax: syntax, imports: make(map[string]string), idents: make(map[string]bool)}
	for _, spec := range syntax.Imports {
		imported := strings.Trim(spec.Path.Value, `"`)
		short := packageName(imported)
		if spec.Name != nil {
			short = spec.Name.Name
		}
		f.imports[short] = imported
		r.names[short] = true
	}
	ast.Inspect(syntax, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.Ident:
			f.idents[node.Name], r.words[node.Name] = true, true
		case *ast.BasicLit:
			r.addWords(node.Value)
		}
		return true
	})
	r.declare(path.Dir(name), syntax)
	if !ast.IsGenerated(syntax) {
		r.code = append(r.code, f)
	}
	return nil
}

var version = regexp.MustCompile(`^v\d+$`)

// packageName guesses the name of a package from its import path.
func packageName(imported string) string {
	name := path.Base(imported)
	if version.MatchString(name) {
		name = path.Base(path.Dir(imported))
	}
	return strings.TrimSuffix(strings.TrimSuffix(name, "-go"), ".go")
}

// declare adds the declarations of a file to its package.
func (r *repo) declare(dir string, syntax *ast.File) {
	p := r.packages[dir]
	if p == nil {
		p = &pkg{declared: make(map[string]bool)}
		r.packages[dir] = p
	}
	if name := strings.TrimSuffix(syntax.Name.Name, "_test"); p.name == "" || name != syntax.Name.Name {
		p.name = name
	}
	for _, decl := range syntax.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			name := decl.Name.Name
			if decl.Recv != nil {
				name = typeName(decl.Recv.List[0].Type) + "." + name
			}
			p.declared[name] = true
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				p.declareSpec(spec)
			}
		}
	}
}

func (p *pkg) declareSpec(spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			p.declared[name.Name] = true
		}
	case *ast.TypeSpec:
		p.declared[spec.Name.Name] = true
		var members *ast.FieldList
		switch t := spec.Type.(type) {
		case *ast.StructType:
			members = t.Fields
		case *ast.InterfaceType:
			members = t.Methods
		default:
			return
		}
		for _, field := range members.List {
			for _, name := range field.Names {
				p.declared[spec.Name.Name+"."+name.Name] = true
			}
			if len(field.Names) == 0 {
				// The members of an embedded type are members, too. They may be in another package.
				p.declared[spec.Name.Name+"."+typeName(field.Type)] = true
				p.declared[spec.Name.Name+".*"] = true
			}
		}
	}
}

// has reports whether the package declares name, which may be Type.member.
func (p *pkg) has(name string) bool {
	of, _, isMember := strings.Cut(name, ".")
	return p.declared[name] || isMember && p.declared[of+".*"]
}

// typeName returns the name of the type in a receiver or of an embedded field.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}
