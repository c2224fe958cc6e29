package decidetest

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dcbstore/dcb"
)

// codedEvent is an event as the application sees it and as a store holds it.
type codedEvent struct {
	value    any
	recorded dcb.Event
}

// difference describes how got differs from want, one event after the other, or returns "".
func difference(want, got []codedEvent) string {
	var text strings.Builder
	equal := len(want) == len(got)
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			fmt.Fprintf(&text, "  missing: %s\n", want[i])
		case i >= len(want):
			fmt.Fprintf(&text, "  unexpected: %s\n", got[i])
		case isEqual(want[i], got[i]):
			fmt.Fprintf(&text, "  as wanted: %s\n", got[i])
		default:
			equal = false
			fmt.Fprintf(&text, "  want: %s\n  got:  %s\n%s", want[i], got[i], details(want[i], got[i]))
		}
	}
	if equal {
		return ""
	}
	return text.String()
}

// isEqual reports whether two events have equal values and equal tags. A tag may hold what the
// data does not, such as a hash of personal data.
func isEqual(want, got codedEvent) bool {
	return reflect.DeepEqual(want.value, got.value) && tagDifference(want, got) == ""
}

// details describes the fields and tags in which two events differ. It adds the recorded data if
// the fields do not show the difference.
func details(want, got codedEvent) string {
	if reflect.DeepEqual(want.value, got.value) {
		return tagDifference(want, got)
	}
	text, isShown := fieldDifference(reflect.ValueOf(want.value), reflect.ValueOf(got.value))
	if !isShown || text == "" && isAmbiguous(want.String(), got.String()) {
		text += fmt.Sprintf("        want, as recorded: %s\n        got, as recorded:  %s\n", want.dataText(), got.dataText())
	}
	if want.recorded.Type == got.recorded.Type {
		text += tagDifference(want, got)
	}
	return text
}

// tagDifference names the tags that only one of two events has, or returns "".
func tagDifference(want, got codedEvent) string {
	var parts []string
	if missing := without(want.tags(), got.tags()); len(missing) > 0 {
		parts = append(parts, "missing "+quoted(missing))
	}
	if unexpected := without(got.tags(), want.tags()); len(unexpected) > 0 {
		parts = append(parts, "unexpected "+quoted(unexpected))
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("        tags: %s\n", strings.Join(parts, ", "))
}

// without returns the tags that are not in others.
func without(tags, others []string) []string {
	return slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return slices.Contains(others, tag) })
}

func quoted(tags []string) string {
	all := make([]string, len(tags))
	for i, tag := range tags {
		all[i] = strconv.Quote(tag)
	}
	return strings.Join(all, ", ")
}

// fieldDifference names the fields in which two events of one type differ. It also reports
// whether the texts of the fields show the difference.
func fieldDifference(want, got reflect.Value) (text string, isShown bool) {
	if want.Type() != got.Type() || want.Kind() != reflect.Struct {
		return "", true
	}
	var b strings.Builder
	isShown = true
	for i := range want.NumField() {
		field := want.Type().Field(i)
		if !field.IsExported() || reflect.DeepEqual(want.Field(i).Interface(), got.Field(i).Interface()) {
			continue
		}
		w, g := fmt.Sprintf("%+v", want.Field(i)), fmt.Sprintf("%+v", got.Field(i))
		if isAmbiguous(w, g) {
			isShown = false
			continue
		}
		fmt.Fprintf(&b, "        %s: want %s, got %s\n", field.Name, w, g)
	}
	return b.String(), isShown
}

// isAmbiguous reports whether the texts of two different values do not show how they differ.
// Empty and nil slices have the same text, and so do types with the same name; a pointer shows
// only its address.
func isAmbiguous(want, got string) bool {
	const address = "0x"
	return want == got || strings.Contains(want, address) || strings.Contains(got, address)
}

// String returns the type of the event without its package, and its value.
func (e codedEvent) String() string {
	return fmt.Sprintf("%s%+v", reflect.TypeOf(e.value).Name(), e.value)
}

// dataText returns the type and the data of the recorded event. Data that is not UTF-8 is quoted.
func (e codedEvent) dataText() string {
	if !utf8.Valid(e.recorded.Data) {
		return fmt.Sprintf("%s %q", e.recorded.Type, e.recorded.Data)
	}
	return fmt.Sprintf("%s %s", e.recorded.Type, e.recorded.Data)
}

// tags returns the tags of the event without duplicates and without the tag of
// [decide.IdempotencyKey], which belongs to the command.
func (e codedEvent) tags() []string {
	const command = "command:"
	tags := slices.Clone(dcb.UniqueTags(e.recorded.Tags))
	return slices.DeleteFunc(tags, func(tag string) bool { return strings.HasPrefix(tag, command) })
}

func listed(events []codedEvent) string {
	if len(events) == 0 {
		return "no events, and no error"
	}
	all := make([]string, len(events))
	for i, event := range events {
		all[i] = event.String()
	}
	return strings.Join(all, ", ")
}

func outcome(err error) string {
	if err == nil {
		return "no error"
	}
	return fmt.Sprintf("error %q", err)
}
