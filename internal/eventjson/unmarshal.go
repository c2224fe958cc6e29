package eventjson

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dcbstore/dcb"
)

// Unmarshal reads the one JSON value that text is into value, strictly. The error is a
// [*dcb.InvalidError]: its Field is the JSON pointer to the place, "" for the whole value, and its
// Problem does not quote values.
func Unmarshal(text []byte, value any) error {
	if string(bytes.TrimSpace(text)) == "null" {
		return &dcb.InvalidError{Problem: isNull}
	}
	err := json.Unmarshal(text, value, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	return invalid(err)
}

// ParseWhole returns the whole number that text is, by the rule of [Whole]. The error is a
// [*dcb.InvalidError] without a Field.
func ParseWhole(text string) (Whole, error) {
	whole, fraction, hasFraction := strings.Cut(text, ".")
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil || hasFraction && (fraction == "" || strings.Trim(fraction, "0") != "") {
		return 0, &dcb.InvalidError{Problem: notWhole}
	}
	return Whole(n), nil
}

const isNull = "is null; it must be an object"

var notWhole = fmt.Sprintf("is not a whole number from 0 to %d", uint64(math.MaxUint64))

func tooMany(limit int, unit string) error {
	return &dcb.InvalidError{Problem: fmt.Sprintf("has more than %d %s", limit, unit), Limit: limit}
}

// invalid returns an error of package json in plain words.
func invalid(err error) *dcb.InvalidError {
	out := &dcb.InvalidError{}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		out.Field, out.Problem = shorten(syntactic.JSONPointer), syntaxProblem(syntactic)
		return out
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		out.Problem = "is not JSON: " + err.Error()
		return out
	}
	out.Field = shorten(semantic.JSONPointer)
	if cause, ok := errors.AsType[*dcb.InvalidError](semantic.Err); ok {
		out.Problem, out.Limit = cause.Problem, cause.Limit
	} else {
		out.Problem = semanticProblem(semantic)
	}
	return out
}

func syntaxProblem(err *jsontext.SyntacticError) string {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return "occurs twice"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Sprintf("is not JSON: it ends too early, at byte %d", err.ByteOffset)
	default:
		return fmt.Sprintf("is not JSON: %v at byte %d", err.Err, err.ByteOffset)
	}
}

func semanticProblem(err *json.SemanticError) string {
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return "is unknown; known members are " + strings.Join(members(err.GoType), ", ")
	case errors.Is(err, strconv.ErrRange), errors.Is(err, strconv.ErrSyntax):
		return notWhole
	}
	return fmt.Sprintf("is %s; it must be %s", kindOf(err.JSONKind), wantedKind(err.GoType))
}

// members returns the names of the members that a struct is read from.
func members(t reflect.Type) (names []string) {
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func kindOf(kind jsontext.Kind) string {
	switch kind {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "true or false"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginObject, jsontext.KindEndObject:
		return "an object"
	case jsontext.KindBeginArray, jsontext.KindEndArray:
		return "an array"
	default:
		return "of an unknown kind"
	}
}

// wantedKind returns the JSON kind that is read into t.
func wantedKind(t reflect.Type) string {
	if t == nil {
		return "something else"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "a string"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a whole number"
	}
}

// maxPointer bounds the length of a pointer, which may contain names of the sender's.
const maxPointer = 256

func shorten(p jsontext.Pointer) string {
	text := string(p)
	if len(text) <= maxPointer {
		return text
	}
	cut := text[:maxPointer]
	for !utf8.ValidString(cut) && cut != "" {
		cut = cut[:len(cut)-1]
	}
	return cut + "…"
}

// Pointer returns the JSON pointer that the tokens make.
func Pointer(tokens ...string) string {
	var p jsontext.Pointer
	for _, token := range tokens {
		p = p.AppendToken(token)
	}
	return shorten(p)
}
