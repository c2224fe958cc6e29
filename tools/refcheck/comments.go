package main

import (
	"go/ast"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	docLink       = regexp.MustCompile(`\[\*?([A-Za-z_][\w./]*)\]`)
	fileInComment = regexp.MustCompile(`(?:^|[\s(,;"])((?:[\w.*-]+/)*[\w*-]+\.(?:go|md|proto|txtar))\b`)
	pathInComment = regexp.MustCompile(`(?:^|[\s("])((?:internal|examples|cmd|docs|deploy|tools)/[\w./-]*\w)`)
	nameInComment = regexp.MustCompile(`(?:^|[\s("*])([a-z]\w*)\.([A-Z]\w*(?:\.[A-Z]\w*)?)\b`)
	// A word before upper-case arguments is the usage of a command.
	firstWord = regexp.MustCompile(`^([a-z][a-zA-Z0-9]*)(?:[.,:]| [^A-Z\n]| [A-Z][^A-Z])`)
	testName  = regexp.MustCompile(`^(?:Test|Benchmark|Fuzz|Example)`)
)

func (r *repo) checkComments(f *goFile) {
	for _, group := range f.syntax.Comments {
		for _, comment := range group.List {
			start := r.fset.Position(comment.Pos()).Line
			for i, text := range strings.Split(comment.Text, "\n") {
				text = strings.TrimPrefix(text, "//")
				if !strings.HasPrefix(text, "go:") && !strings.HasPrefix(text, "nolint") {
					r.checkCommentLine(f, line{start + i, text})
				}
			}
		}
	}
	for _, decl := range f.syntax.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			r.checkDocName(f, decl.Doc, decl.Name)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				if t, ok := spec.(*ast.TypeSpec); ok && len(decl.Specs) == 1 {
					r.checkDocName(f, decl.Doc, t.Name)
				}
			}
		}
	}
}

// checkDocName checks that a doc comment whose first word is a name has the name that it
// documents. A lower-case first word is a name, because sentences begin with a capital letter.
func (r *repo) checkDocName(f *goFile, doc *ast.CommentGroup, name *ast.Ident) {
	if doc == nil || testName.MatchString(name.Name) {
		return
	}
	match := firstWord.FindStringSubmatch(doc.Text())
	if match != nil && match[1] != name.Name {
		r.report(f.path, r.fset.Position(doc.Pos()).Line, "the doc comment of %s begins with %s", name.Name, match[1])
	}
}

func (r *repo) checkCommentLine(f *goFile, l line) {
	isCode := strings.HasPrefix(l.text, "\t")
	r.checkCommands(f.path, l)
	if !isCode {
		for _, match := range docLink.FindAllStringSubmatchIndex(l.text, -1) {
			name := l.text[match[2]:match[3]]
			if isIndex(l.text, match[0]) || strings.HasPrefix(l.text[match[1]:], ":") {
				continue
			}
			if problem := r.checkDocLink(f, name); problem != "" {
				r.report(f.path, l.number, "%s", problem)
			}
		}
	}
	for _, match := range fileInComment.FindAllStringSubmatch(l.text, -1) {
		if !r.fileExists(f.path, match[1], false) && !r.isPackageName(match[1]) {
			r.report(f.path, l.number, "there is no file %s here or from the root", match[1])
		}
	}
	for _, match := range pathInComment.FindAllStringSubmatch(l.text, -1) {
		isFile := filePath.MatchString(match[1]) // checked above
		if !isFile && !r.fileExists(f.path, match[1], false) && !r.isQualifiedPath(match[1]) {
			r.report(f.path, l.number, "there is no directory or file %s", match[1])
		}
	}
	for _, match := range nameInComment.FindAllStringSubmatch(l.text, -1) {
		if f.idents[match[1]] && f.imports[match[1]] == "" {
			continue // a variable, field or parameter
		}
		if problem := r.checkQualifiedIn(f, match[1], match[2]); problem != "" {
			r.report(f.path, l.number, "%s", problem)
		}
	}
}

// isIndex reports whether the bracket at that offset follows a name, as in a[I].
func isIndex(text string, offset int) bool {
	before, _ := utf8.DecodeLastRuneInString(text[:offset])
	return unicode.IsLetter(before) || unicode.IsDigit(before) || before == ')' || before == ']'
}

// isPackageName reports whether a word that looks like a file is a module, as in hdrhistogram.go.
func (r *repo) isPackageName(name string) bool { return r.names[strings.TrimSuffix(name, ".go")] }

// checkDocLink checks the name in a doc link [name]. Only exported names and packages are links.
func (r *repo) checkDocLink(f *goFile, name string) string {
	slash := strings.LastIndexByte(name, '/')
	first, rest, isQualified := strings.Cut(name[slash+1:], ".")
	if slash >= 0 {
		dir, ours := strings.CutPrefix(name[:slash+1]+first, module+"/")
		if !ours {
			return ""
		}
		p := r.packages[dir]
		if p == nil || isQualified && !p.has(rest) {
			return "the doc link [" + name + "] is broken"
		}
		return ""
	}
	here := r.packages[path.Dir(f.path)]
	switch {
	case first == strings.ToUpper(first) && len(first) > 1:
		return "" // a placeholder or an abbreviation
	case ast.IsExported(first):
		if !here.has(name) && !f.idents[name] {
			return "the doc link [" + name + "] is broken"
		}
	case isQualified && ast.IsExported(rest):
		if f.idents[first] && f.imports[first] == "" {
			return ""
		}
		return r.checkQualifiedIn(f, first, rest)
	}
	return ""
}

// checkQualifiedIn checks package.Name in a comment of f, whose imports say which package is
// meant.
func (r *repo) checkQualifiedIn(f *goFile, packageName, name string) string {
	imported, ok := f.imports[packageName]
	if !ok {
		return r.checkQualified(packageName, name)
	}
	dir, ours := strings.CutPrefix(imported, module)
	if !ours {
		return ""
	}
	dir = strings.TrimPrefix(dir, "/")
	if dir == "" {
		dir = "."
	}
	if p := r.packages[dir]; p != nil && !p.has(name) {
		return "package " + packageName + " has no " + name
	}
	return ""
}
