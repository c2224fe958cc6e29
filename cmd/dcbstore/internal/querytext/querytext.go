// Package querytext parses and formats queries as people type them. Each item is one text, a list
// of types and tags:
//
//	StudentRegistered,StudentJoinedCourse @student:ann @course:go
//
// Types are alternatives, because an event has one type; commas separate them. Tags begin with @,
// and an event must have all of them. Several items are alternatives. A type or tag that contains
// a space, a comma or a quote, or begins with @, is written in double quotes, as a string of
// JSON. The item * selects every event.
package querytext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dcbstore/dcb"
)

// everything is the item without types or tags.
const everything = "*"

// Parse returns the query with one item for each text. Without texts the query has no items.
func Parse(texts ...string) (dcb.Query, error) {
	var query dcb.Query
	for _, text := range texts {
		item, err := ParseItem(text)
		if err != nil {
			return nil, fmt.Errorf("query item %q: %w", text, err)
		}
		query = append(query, item)
	}
	return query, nil
}

// ParseItem returns the item that text describes.
func ParseItem(text string) (dcb.QueryItem, error) {
	words, err := split(text)
	if err != nil {
		return dcb.QueryItem{}, err
	}
	if len(words) == 0 {
		return dcb.QueryItem{}, errors.New("it is empty; * selects every event")
	}
	if len(words) == 1 && words[0].kind == star {
		return dcb.QueryItem{}, nil
	}
	return build(words)
}

// build makes an item of words. It checks that commas separate types, and only types.
func build(words []word) (item dcb.QueryItem, err error) {
	for i, w := range words {
		afterComma := i > 0 && words[i-1].kind == comma
		switch w.kind {
		case star:
			return item, errors.New("* selects every event; it must be the only word")
		case comma:
			if i == 0 || i == len(words)-1 || words[i-1].kind != typ {
				return item, errors.New("a comma must be between two types")
			}
		case tag:
			if afterComma {
				return item, errors.New("commas cannot separate tags: an event must have all tags of an item; for either of two, write two items")
			}
			item.Tags = append(item.Tags, w.text)
		case typ:
			if len(item.Types) > 0 && !afterComma {
				return item, fmt.Errorf("%s and %s: an event has one type; for either of two, write %s,%s (a tag begins with @)",
					quoted(item.Types[len(item.Types)-1]), quoted(w.text), quoted(item.Types[len(item.Types)-1]), quoted(w.text))
			}
			item.Types = append(item.Types, w.text)
		}
	}
	return item, nil
}

// Format returns the texts from which Parse makes q.
func Format(q dcb.Query) []string {
	texts := make([]string, len(q))
	for i, item := range q {
		texts[i] = FormatItem(item)
	}
	return texts
}

// FormatItem returns the text from which ParseItem makes item.
func FormatItem(item dcb.QueryItem) string {
	if len(item.Types) == 0 && len(item.Tags) == 0 {
		return everything
	}
	var words []string
	if len(item.Types) > 0 {
		types := make([]string, len(item.Types))
		for i, eventType := range item.Types {
			types[i] = quoted(eventType)
		}
		words = append(words, strings.Join(types, ","))
	}
	for _, tag := range item.Tags {
		words = append(words, "@"+quoted(tag))
	}
	return strings.Join(words, " ")
}

type kind int

const (
	typ kind = iota
	tag
	comma
	star
)

type word struct {
	kind kind
	text string
}

// split returns the words and commas of text.
func split(text string) (words []word, err error) {
	for {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		switch {
		case text == "":
			return words, nil
		case text[0] == ',':
			words, text = append(words, word{kind: comma}), text[1:]
			continue
		}
		w := word{kind: typ}
		if text[0] == '@' {
			w.kind, text = tag, text[1:]
		}
		unquoted := !strings.HasPrefix(text, `"`)
		if w.text, text, err = next(text); err != nil {
			return nil, err
		}
		if unquoted && w.kind == typ && w.text == everything {
			w.kind = star
		}
		words = append(words, w)
	}
}

// next returns the type or tag at the beginning of text, and the rest.
func next(text string) (first, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		return nextQuoted(text)
	}
	end := strings.IndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == ',' })
	if end < 0 {
		end = len(text)
	}
	first, rest = text[:end], text[end:]
	switch {
	case first == "":
		return "", "", errors.New("there is no tag after @")
	case strings.Contains(first, `"`):
		return "", "", fmt.Errorf(`%s has a quote in the middle; write %s`, first, mustQuote(first))
	}
	return first, rest, nil
}

func nextQuoted(text string) (first, rest string, err error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	if !utf8.ValidString(text) {
		return "", "", errors.New("it is not valid UTF-8")
	}
	if err := decoder.Decode(&first); err != nil {
		return "", "", fmt.Errorf("%s is not a JSON string in double quotes", text)
	}
	rest = text[decoder.InputOffset():]
	if r, _ := utf8.DecodeRuneInString(rest); rest != "" && r != ',' && !unicode.IsSpace(r) {
		return "", "", fmt.Errorf("after %s there must be a space or a comma, not %q", text[:decoder.InputOffset()], r)
	}
	return first, rest, nil
}

// quoted returns text, in quotes if it needs them.
func quoted(text string) string {
	special := func(r rune) bool { return r == ',' || r == '"' || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if text == "" || text == everything || strings.ContainsAny(text[:1], "@-") || strings.ContainsFunc(text, special) {
		return mustQuote(text)
	}
	return text
}

func mustQuote(text string) string {
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		panic(fmt.Sprintf("a string is always JSON: %v", err))
	}
	return strings.TrimSuffix(quoted.String(), "\n")
}
