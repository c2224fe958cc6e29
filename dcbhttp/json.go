package dcbhttp

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/dcbstore/dcb"
)

// parser reads JSON from its beginning to its end, led by what is expected there. It is stricter than encoding/json, which would take a
// field in other letters or twice, and would replace what is not UTF-8 or is half of a character: what is recorded must be what was
// sent. Since it goes no deeper than what is expected, no nesting costs anything. Its errors name the field, never a value.
//
// Null is as good as a field that is absent, because many languages write it so.
type parser struct {
	text []byte
	at   int
}

// parse reads the one value that text is. Name is what the value is called in errors: body, query …
func parse(text []byte, name string, read func(*parser) error) error {
	p := &parser{text: text}
	err := read(p)
	if err == nil && p.next() != 0 {
		err = p.broken("something follows the value")
	}
	if err == nil && p.at < len(p.text) { // a NUL byte
		err = p.broken("a character that has no place here")
	}
	return within(name, err)
}

// within says in which field an error is. The path to a field is made from its end.
func within(name string, err error) error {
	wrong, ok := err.(*dcb.InvalidError) //nolint:errorlint // never wrapped: it has just been made here
	if !ok {
		return err
	}
	switch {
	case wrong.Field == "" || wrong.Field[0] == '[' || name == "":
		wrong.Field = name + wrong.Field
	default:
		wrong.Field = name + "." + wrong.Field
	}
	return wrong
}

func invalid(format string, args ...any) error {
	return &dcb.InvalidError{Problem: fmt.Sprintf(format, args...)}
}

func tooMany(limit int, unit string) error {
	return &dcb.InvalidError{Problem: fmt.Sprintf("has more than %d %s", limit, unit), Limit: limit}
}

// broken is what is said of text that is not JSON at all.
func (p *parser) broken(problem string) error {
	return invalid("is not JSON: %s at byte %d", problem, p.at)
}

// expected is what is said of a value of a wrong type.
func (p *parser) expected(what string) error {
	var kind string
	switch c := p.next(); c {
	case '{':
		kind = "an object"
	case '[':
		kind = "an array"
	case '"':
		kind = "a string"
	case 't', 'f':
		kind = "true or false"
	case 'n':
		kind = "null"
	case 0:
		return p.broken("it ends too early")
	default:
		if c != '-' && (c < '0' || c > '9') {
			return p.broken("a character that has no place here")
		}
		kind = "a number"
	}
	return invalid("is %s; it must be %s", kind, what)
}

// next returns the first byte of what comes next, 0 at the end.
func (p *parser) next() byte {
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take reads one byte if it is what comes next.
func (p *parser) take(c byte) bool {
	if p.next() != c {
		return false
	}
	p.at++
	return true
}

// word reads true, false or null if it is what comes next.
func (p *parser) word(word string) bool {
	p.next()
	if !bytes.HasPrefix(p.text[p.at:], []byte(word)) {
		return false
	}
	p.at += len(word)
	return true
}

// object reads an object with no other fields than names, and calls member for each that is there and not null, in the order of the text.
// It returns which there were.
func (p *parser) object(names []string, member func(name string) error) (found []string, err error) {
	if !p.take('{') {
		return nil, p.expected("an object")
	}
	found = make([]string, 0, len(names))
	for seen := 0; !p.take('}'); { // a bit for each of names
		if seen != 0 && !p.take(',') {
			return nil, p.broken("a comma or the end of the object is missing")
		}
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		i := slices.Index(names, name)
		if i < 0 {
			return nil, within(shortened(name), invalid("is unknown here; there are %s", strings.Join(names, ", ")))
		}
		if seen&(1<<i) != 0 {
			return nil, within(name, invalid("is there twice"))
		}
		seen |= 1 << i
		if p.word("null") {
			continue
		}
		found = append(found, name)
		if err := member(name); err != nil {
			return nil, within(name, err)
		}
	}
	return found, nil
}

// name reads the name of a member and the colon after it.
func (p *parser) name() (string, error) {
	if p.next() != '"' {
		return "", p.broken("the name of a field is missing")
	}
	name, err := p.string()
	if err != nil {
		return "", err
	}
	if !p.take(':') {
		return "", p.broken("a colon is missing")
	}
	return name, nil
}

// shortened returns an unknown name as it may be told.
func shortened(name string) string {
	const most = 64
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	return strconv.Quote(name)
}

// array calls element for each element of an array, which has at most as many as the caller is ready for: more are refused here, before
// a large text becomes something larger.
func (p *parser) array(most int, unit string, element func() error) error {
	if !p.take('[') {
		return p.expected("an array")
	}
	for i := 0; !p.take(']'); i++ {
		if i > 0 && !p.take(',') {
			return p.broken("a comma or the end of the array is missing")
		}
		if i == most {
			return tooMany(most, unit)
		}
		if err := element(); err != nil {
			return within("["+strconv.Itoa(i)+"]", err)
		}
	}
	return nil
}

// strings reads an array of strings.
func (p *parser) strings() (texts []string, err error) {
	err = p.array(math.MaxInt, "strings", func() error {
		text, err := p.string()
		texts = append(texts, text)
		return err
	})
	return texts, err
}

// stringMap reads an object whose values are strings.
func (p *parser) stringMap(limit int) (map[string]string, error) {
	if !p.take('{') {
		return nil, p.expected("an object")
	}
	found := make(map[string]string)
	for !p.take('}') {
		if len(found) > 0 && !p.take(',') {
			return nil, p.broken("a comma or the end of the object is missing")
		}
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		if _, ok := found[name]; ok {
			return nil, within("["+shortened(name)+"]", invalid("is there twice"))
		}
		if len(found) == limit {
			return nil, tooMany(limit, "entries")
		}
		if found[name], err = p.string(); err != nil {
			return nil, within("["+shortened(name)+"]", err)
		}
	}
	return found, nil
}

// bool reads true or false.
func (p *parser) bool() (bool, error) {
	switch {
	case p.word("true"):
		return true, nil
	case p.word("false"):
		return false, nil
	}
	return false, p.expected("true or false")
}

// whole reads a whole number; it is exact, which a float64 is not.
func (p *parser) whole() (uint64, error) {
	if c := p.next(); c != '-' && (c < '0' || c > '9') {
		return 0, p.expected("a whole number")
	}
	end := p.at
	for end < len(p.text) && strings.IndexByte("+-.eE0123456789", p.text[end]) >= 0 {
		end++
	}
	digits := string(p.text[p.at:end])
	n, err := parseWhole(digits)
	if err != nil {
		return 0, err
	}
	p.at = end
	return n, nil
}

// maxExponent bounds the zeros that a number may stand for.
const maxExponent = 1000

// parseWhole is the rule for numbers in JSON and in parameters alike: 17, and as some languages write it, 17.0 and 1.7e1. It is exact,
// which a float64 is not.
func parseWhole(text string) (uint64, error) {
	refused := invalid("is not a whole number from 0 to %d", uint64(math.MaxUint64))
	mantissa, exponent, hasExponent := strings.Cut(strings.ReplaceAll(text, "E", "e"), "e")
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, hasFraction := strings.Cut(mantissa, ".")
	if !isDigits(whole) || hasFraction && !isDigits(fraction) || len(whole) > 1 && whole[0] == '0' {
		return 0, refused
	}
	shift := 0
	if hasExponent {
		var err error
		unsigned := strings.TrimPrefix(strings.TrimPrefix(exponent, "-"), "+")
		if shift, err = strconv.Atoi(exponent); err != nil || !isDigits(unsigned) || max(shift, -shift) > maxExponent {
			return 0, refused
		}
	}
	digits := whole + fraction
	if shift -= len(fraction); shift > 0 {
		digits += strings.Repeat("0", shift)
	}
	for ; shift < 0 && digits != ""; shift++ {
		var isWhole bool
		if digits, isWhole = strings.CutSuffix(digits, "0"); !isWhole {
			return 0, refused
		}
	}
	n, err := strconv.ParseUint("0"+digits, 10, 64)
	if err != nil || negative && n != 0 {
		return 0, refused
	}
	return n, nil
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// string reads a string.
func (p *parser) string() (string, error) {
	if p.next() != '"' {
		return "", p.expected("a string")
	}
	p.at++
	start := p.at
	plain := true
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			raw := p.text[start:p.at]
			p.at++
			if !utf8.Valid(raw) {
				return "", invalid("is not valid UTF-8")
			}
			if plain {
				return string(raw), nil
			}
			return unescape(raw)
		case c == '\\':
			plain = false
			p.at++
		case c < ' ':
			return "", p.broken("a control character that is not escaped")
		}
	}
	p.at = len(p.text)
	return "", p.broken("a string has no end")
}

// unescape returns what a string stands for.
func unescape(raw []byte) (string, error) {
	var text strings.Builder
	text.Grow(len(raw))
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			text.Write(raw)
			return text.String(), nil
		}
		text.Write(raw[:i])
		raw = raw[i:]
		if plain := strings.IndexByte(`"\/bfnrt`, raw[1]); plain >= 0 {
			text.WriteByte("\"\\/\b\f\n\r\t"[plain])
			raw = raw[len(`\n`):]
			continue
		}
		first := escaped(raw)
		if first < 0 {
			return "", invalid(`is not JSON: after \ comes one of "\/bfnrt or u and four hexadecimal digits`)
		}
		raw = raw[len(`\u0000`):]
		if utf16.IsSurrogate(first) {
			if first = utf16.DecodeRune(first, escaped(raw)); first == utf8.RuneError {
				return "", invalid(`has half of a character: \ud800 to \udfff come in pairs; data that has not stands in dataBase64`)
			}
			raw = raw[len(`\u0000`):]
		}
		text.WriteRune(first)
	}
}

// escaped returns the character that raw begins with as \u0000, or -1 if it does not begin so.
func escaped(raw []byte) rune {
	if len(raw) < len(`\u0000`) || raw[0] != '\\' || raw[1] != 'u' {
		return -1
	}
	code := rune(0)
	for _, c := range raw[2:6] {
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if digit < 0 || c < '0' { // the bit makes small letters of great ones, and digits of some control characters
			return -1
		}
		code = code<<4 | rune(digit)
	}
	return code
}
