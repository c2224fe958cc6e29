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

// fact is an event as the application has it, and as it is recorded.
type fact struct {
	value    any
	recorded dcb.Event
}

// difference says how got differs from want, event by event; "" if it does not.
func difference(want, got []fact) string {
	var text strings.Builder
	all := len(want) == len(got)
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			fmt.Fprintf(&text, "  missing:  %s\n", want[i])
		case i >= len(want):
			fmt.Fprintf(&text, "  too much: %s\n", got[i])
		case same(want[i], got[i]):
			fmt.Fprintf(&text, "  as wanted: %s\n", got[i])
		default:
			all = false
			fmt.Fprintf(&text, "  want: %s\n  got:  %s\n%s", want[i], got[i], details(want[i], got[i]))
		}
	}
	if all {
		return ""
	}
	return text.String()
}

// same reports whether two events are the same to those who read them, and to those who look for them. A tag may say what the data does not: a hash
// of what is personal, for example.
func same(want, got fact) bool {
	return reflect.DeepEqual(want.value, got.value) && tags(want, got) == ""
}

// details says in which fields and tags two events of one type differ, and shows both as they are recorded if it takes that to see it.
func details(want, got fact) string {
	if reflect.DeepEqual(want.value, got.value) {
		return tags(want, got)
	}
	text, shown := fields(reflect.ValueOf(want.value), reflect.ValueOf(got.value))
	if !shown || text == "" && unclear(want.String(), got.String()) {
		text += fmt.Sprintf("        want, as recorded: %s\n        got, as recorded:  %s\n", want.data(), got.data())
	}
	if want.recorded.Type == got.recorded.Type {
		text += tags(want, got)
	}
	return text
}

// tags names the tags that only one of two events has, "" if there are none.
func tags(want, got fact) string {
	var differ []string
	if missing := without(want.tags(), got.tags()); len(missing) > 0 {
		differ = append(differ, "missing "+quoted(missing))
	}
	if more := without(got.tags(), want.tags()); len(more) > 0 {
		differ = append(differ, "too much "+quoted(more))
	}
	if len(differ) == 0 {
		return ""
	}
	return fmt.Sprintf("        tags: %s\n", strings.Join(differ, ", "))
}

// without returns those tags that are not among others.
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

// fields names those fields in which two events of one type differ, and reports whether that shows how.
func fields(want, got reflect.Value) (string, bool) {
	if want.Type() != got.Type() || want.Kind() != reflect.Struct {
		return "", true
	}
	var text strings.Builder
	shown := true
	for i := range want.NumField() {
		field := want.Type().Field(i)
		if !field.IsExported() || reflect.DeepEqual(want.Field(i).Interface(), got.Field(i).Interface()) {
			continue
		}
		w, g := fmt.Sprintf("%+v", want.Field(i)), fmt.Sprintf("%+v", got.Field(i))
		if unclear(w, g) {
			shown = false
			continue
		}
		fmt.Fprintf(&text, "        %s: want %s, got %s\n", field.Name, w, g)
	}
	return text.String(), shown
}

// unclear reports whether two texts may not tell a person how what they stand for differs: empty and nil are written the same, and so are
// types of one name; and of what is behind a pointer there is only the address.
func unclear(want, got string) bool {
	const address = "0x"
	return want == got || strings.Contains(want, address) || strings.Contains(got, address)
}

// String returns the event with its type but without its package, and without the noise of Go syntax.
func (f fact) String() string {
	return fmt.Sprintf("%s%+v", reflect.TypeOf(f.value).Name(), f.value)
}

// data returns the event's type and data, as text if they are.
func (f fact) data() string {
	if !utf8.Valid(f.recorded.Data) {
		return fmt.Sprintf("%s %q", f.recorded.Type, f.recorded.Data)
	}
	return fmt.Sprintf("%s %s", f.recorded.Type, f.recorded.Data)
}

// tags returns the event's tags, each once, without that of its command, which is reserved and comes from [decide.IdempotencyKey]: it says who sent the
// event, and is not the event's own.
func (f fact) tags() []string {
	const command = "command:"
	return slices.DeleteFunc(slices.Clone(dcb.UniqueTags(f.recorded.Tags)), func(tag string) bool { return strings.HasPrefix(tag, command) })
}

func listed(events []fact) string {
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
