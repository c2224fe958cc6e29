package main

import (
	"go/ast"
	"iter"
	"path"
	"regexp"
	"strings"
)

var (
	inlineLink    = regexp.MustCompile(`\]\(([^)\s]+)[^)]*\)`)
	referenceLink = regexp.MustCompile(`^\[[^\]]+\]:\s+(\S+)`)
	scheme        = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
	inlineCode    = regexp.MustCompile("`([^`]+)`")
	notInAnchor   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	goPackage     = regexp.MustCompile(`\bgo (?:run|test|build|vet|generate|install) [^|&;#]*?(\./[\w./-]+)`)
	makeTarget    = regexp.MustCompile(`\bmake ([a-z][\w-]*)`)
	filePath      = regexp.MustCompile(`^[\w.*-]+(?:/[\w.*-]+)*\.(?:go|md|ya?ml|txtar|proto|sql|ini|sh|py)$`)
	directory     = regexp.MustCompile(`^[\w.-]+(?:/[\w.-]+)+/?$`)
	qualified     = regexp.MustCompile(`^[*&]?([a-z]\w*)\.([A-Z]\w*(?:\.\w+)?)(?:\(.*\)|\{.*\}|\[.*\])?$`)
	ofType        = regexp.MustCompile(`^\(?[*&]?([A-Z]\w*)\)?\.(\w+)(?:\(.*\))?$`)
	foreignNames  = regexp.MustCompile(`<!-- foreign: (.*) -->`)
	mixedCase     = regexp.MustCompile(`^[A-Za-z]*[a-z][A-Z]\w*(?:\(\))?$`)
)

// line is one line of a page. In a block of code the text is code.
type line struct {
	number int
	text   string
}

// split yields the lines of a page, and whether they are in a fenced block of code.
func (p page) split() iter.Seq2[line, bool] {
	return func(yield func(line, bool) bool) {
		fenced := false
		for i, text := range p.lines {
			if strings.HasPrefix(strings.TrimSpace(text), "```") {
				fenced = !fenced
			} else if !yield(line{i + 1, text}, fenced) {
				return
			}
		}
	}
}

// prose yields the lines outside of blocks of code.
func (p page) prose() iter.Seq[line] {
	return func(yield func(line) bool) {
		for l, fenced := range p.split() {
			if !fenced && !yield(l) {
				return
			}
		}
	}
}

func (r *repo) checkPage(p page) {
	foreign := make(map[string]bool)
	for l := range p.prose() {
		if match := foreignNames.FindStringSubmatch(l.text); match != nil {
			for name := range strings.FieldsSeq(match[1]) {
				foreign[name] = true
			}
		}
	}
	for l, fenced := range p.split() {
		r.checkCommands(p.path, l)
		if fenced {
			continue
		}
		withoutCode := inlineCode.ReplaceAllString(l.text, "")
		for _, expression := range []*regexp.Regexp{inlineLink, referenceLink} {
			for _, match := range expression.FindAllStringSubmatch(withoutCode, -1) {
				if !scheme.MatchString(match[1]) && !r.paths[resolve(p.path, match[1])] {
					r.report(p.path, l.number, "the link to %s is broken", match[1])
				}
			}
		}
		for _, match := range inlineCode.FindAllStringSubmatch(l.text, -1) {
			if !foreign[match[1]] {
				r.checkCode(p.path, l.number, match[1])
			}
		}
	}
}

// checkCommands checks what a command of go or make in a line names.
func (r *repo) checkCommands(file string, l line) {
	for _, match := range goPackage.FindAllStringSubmatch(l.text, -1) {
		dir := path.Clean(strings.TrimSuffix(match[1], "..."))
		if !r.paths[dir] && !r.paths[path.Join("tools", dir)] {
			r.report(file, l.number, "the command names the directory %s, which does not exist", match[1])
		}
	}
	for _, code := range inlineCode.FindAllStringSubmatch(l.text, -1) {
		if match := makeTarget.FindStringSubmatch(code[1]); match != nil && !r.targets[match[1]] {
			r.report(file, l.number, "make has no target %s", match[1])
		}
	}
}

// checkCode checks `code` in the prose of a page, if it looks like a path or a name of ours.
func (r *repo) checkCode(file string, line int, code string) {
	switch {
	case filePath.MatchString(code):
		if !r.fileExists(file, code, true) {
			r.report(file, line, "there is no file %s", code)
		}
	case directory.MatchString(code):
		first, _, _ := strings.Cut(code, "/")
		ours := first == "internal" || r.paths[first] && !strings.Contains(first, ".")
		if ours && !r.fileExists(file, strings.TrimSuffix(code, "/"), false) && !r.isQualifiedPath(code) {
			r.report(file, line, "there is no directory or file %s", code)
		}
	case qualified.MatchString(code):
		match := qualified.FindStringSubmatch(code)
		if problem := r.checkQualified(match[1], match[2]); problem != "" {
			r.report(file, line, "%s", problem)
		}
	case ofType.MatchString(code):
		match := ofType.FindStringSubmatch(code)
		if r.isType(match[1]) && !r.anyHas(match[1]+"."+match[2]) {
			r.report(file, line, "no type %s has a member %s", match[1], match[2])
		}
	case mixedCase.MatchString(code):
		if !r.words[strings.TrimSuffix(code, "()")] {
			r.report(file, line, "no code has the name %s", code)
		}
	}
}

// isQualifiedPath reports whether code is a name in a package that is given by its path, as in
// internal/wire.Code.
func (r *repo) isQualifiedPath(code string) bool {
	dir, name, ok := strings.Cut(path.Base(code), ".")
	p := r.packages[path.Join(path.Dir(code), dir)]
	return ok && p != nil && p.has(name)
}

// checkQualified checks name in the package that is called packageName. It returns "" if there is
// such a name, or if the package is not ours.
func (r *repo) checkQualified(packageName, name string) string {
	found := false
	for _, p := range r.packages {
		if p.name != packageName {
			continue
		}
		if found = true; p.has(name) {
			return ""
		}
	}
	switch {
	case found && !r.isImportedOnly(packageName):
		return "package " + packageName + " has no " + name
	case !found && !r.names[packageName] && !r.words[packageName]:
		return "there is no package " + packageName
	}
	return ""
}

// isImportedOnly reports whether another module has a package of the same name, such as json.
func (r *repo) isImportedOnly(packageName string) bool {
	for _, f := range r.code {
		if imported, ok := f.imports[packageName]; ok && imported != module && !strings.HasPrefix(imported, module+"/") {
			return true
		}
	}
	return false
}

func (r *repo) isType(name string) bool { return ast.IsExported(name) && r.anyHas(name) }

func (r *repo) anyHas(name string) bool {
	for _, p := range r.packages {
		if p.has(name) {
			return true
		}
	}
	return false
}

// fileExists reports whether a path, which may have *, exists relative to the root or to the file
// that names it. If anywhere is true, a name without a directory may be in any directory.
func (r *repo) fileExists(from, name string, anywhere bool) bool {
	for _, candidate := range []string{path.Clean(name), path.Join(path.Dir(from), name)} {
		if r.paths[candidate] {
			return true
		}
		if strings.Contains(name, "*") {
			for existing := range r.paths {
				if ok, err := path.Match(candidate, existing); ok && err == nil {
					return true
				}
			}
		}
	}
	if !anywhere || strings.Contains(name, "/") {
		return false
	}
	for existing := range r.paths {
		if ok, err := path.Match(name, path.Base(existing)); ok && err == nil {
			return true
		}
	}
	return false
}

func resolve(page, link string) string {
	file, heading, hasHeading := strings.Cut(link, "#")
	if file == "" {
		file = page
	} else {
		file = path.Join(path.Dir(page), file)
	}
	if hasHeading && path.Ext(file) == ".md" {
		return file + "#" + heading
	}
	return file
}

// anchor returns the name that viewers of Markdown give to a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), ""), " ", "-")
}
