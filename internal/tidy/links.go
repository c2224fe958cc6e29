package tidy

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

var (
	inlineLink    = regexp.MustCompile(`\]\(([^)\s]+)[^)]*\)`)
	referenceLink = regexp.MustCompile(`^\[[^\]]+\]:\s+(\S+)`)
	elsewhere     = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
	inlineCode    = regexp.MustCompile("`[^`]*`")
	notInAnchor   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// links reports links between the pages of the repository that lead nowhere. Those that lead out of it are not
// followed: a test does not depend on somebody else's server.
func links(h *house) []Problem {
	exists := make(map[string]bool) // files, directories, and the headings of pages as file#anchor
	for _, t := range h.texts {
		for name := t.path; !exists[name]; name = path.Dir(name) {
			exists[name] = true
		}
		if isPage(t) {
			for _, line := range prose(t) {
				if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
					exists[t.path+"#"+anchor(heading)] = true
				}
			}
		}
	}
	var problems []Problem
	for _, t := range h.texts {
		if !isPage(t) {
			continue
		}
		for i, line := range prose(t) {
			for _, link := range linksOf(line) {
				if target := resolve(t.path, link); !exists[target] {
					problems = append(problems, Problem{File: t.path, Line: i + 1, Text: fmt.Sprintf("the link to %s leads nowhere", link)})
				}
			}
		}
	}
	return problems
}

func isPage(t text) bool { return path.Ext(t.path) == ".md" }

// prose returns the lines of a page, empty those that are code.
func prose(page text) []string {
	lines := strings.Split(string(page.bytes), "\n")
	fenced := false
	for i, line := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if fence || fenced {
			lines[i] = ""
		}
		if fence {
			fenced = !fenced
		}
	}
	return lines
}

// linksOf returns the links of a line that stay in the repository.
func linksOf(line string) []string {
	line = inlineCode.ReplaceAllString(line, "")
	var links []string
	for _, match := range append(inlineLink.FindAllStringSubmatch(line, -1), referenceLink.FindAllStringSubmatch(line, -1)...) {
		if !elsewhere.MatchString(match[1]) {
			links = append(links, match[1])
		}
	}
	return links
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

// anchor returns the name that a heading gets on the page, as the usual viewers make it.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), ""), " ", "-")
}
