package tidy

import (
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"hash/maphash"
	"strconv"
)

// cloneTokens is how many tokens in a row must be alike for two pieces of code to count as copies: about ten lines. What is
// shorter is more often Go's way of saying things than a copy.
const cloneTokens = 90

// clones reports functions with a piece of code that another one has too. Names do not matter, as long as they are
// changed for one another all through the piece; nor do the contents of strings.
func clones(h *house) []Problem {
	var problems []Problem
	seen := make(map[uint64]place)
	seed := maphash.MakeSeed()
	for c := range h.own {
		for _, decl := range c.syntax.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			here := place{code: c, function: f}
			if twin, ok := firstTwin(h, here, seen, seed); ok {
				problems = append(problems, Problem{File: c.path, Line: h.line(f), Text: fmt.Sprintf(
					"%s has %d tokens in a row that are a copy of %s in %s", f.Name, cloneTokens, twin.function.Name, twin.code.path)})
			}
		}
	}
	return problems
}

// place is a function in a file.
type place struct {
	code     *code
	function *ast.FuncDecl
}

// firstTwin enters every window of here's tokens into seen, and returns the first other function that has one like it.
func firstTwin(h *house, here place, seen map[uint64]place, seed maphash.Seed) (twin place, found bool) {
	lexemes := lexemesOf(h, here)
	for start := 0; start+cloneTokens <= len(lexemes); start++ {
		window := hash(lexemes[start:start+cloneTokens], seed)
		other, ok := seen[window]
		if !ok {
			seen[window] = here
		} else if other.function != here.function && !found {
			twin, found = other, true
		}
	}
	return twin, found
}

type lexeme struct {
	token token.Token
	text  string // of names and numbers
}

func lexemesOf(h *house, here place) []lexeme {
	file := h.fset.File(here.function.Body.Pos())
	start, end := file.Offset(here.function.Body.Pos()), file.Offset(here.function.Body.End())
	source := here.code.bytes[start:end]
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile("", -1, len(source)), source, nil, 0)
	var lexemes []lexeme
	for {
		_, tok, text := s.Scan()
		switch tok {
		case token.EOF:
			return lexemes
		case token.SEMICOLON, token.STRING, token.CHAR:
			text = ""
		}
		lexemes = append(lexemes, lexeme{token: tok, text: text})
	}
}

// hash gives windows the same value that differ only in names: each name counts as the place of its first mention.
func hash(window []lexeme, seed maphash.Seed) uint64 {
	var sum maphash.Hash
	sum.SetSeed(seed)
	names := make(map[string]int)
	for i, l := range window {
		text := l.text
		if l.token == token.IDENT {
			first, ok := names[text]
			if !ok {
				first = i
				names[text] = i
			}
			text = strconv.Itoa(first)
		}
		sum.WriteString(strconv.Itoa(int(l.token)))
		sum.WriteString(" ")
		sum.WriteString(text)
		sum.WriteString(";")
	}
	return sum.Sum64()
}
