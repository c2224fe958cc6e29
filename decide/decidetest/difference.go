package decidetest

import (
	"fmt"
	"reflect"
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
	same := len(want) == len(got)
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			fmt.Fprintf(&text, "  missing:  %s\n", want[i])
		case i >= len(want):
			fmt.Fprintf(&text, "  too much: %s\n", got[i])
		case reflect.DeepEqual(want[i].value, got[i].value):
			fmt.Fprintf(&text, "  as wanted: %s\n", got[i])
		default:
			same = false
			fmt.Fprintf(&text, "  want: %s\n  got:  %s\n%s", want[i], got[i], details(want[i], got[i]))
		}
	}
	if same {
		return ""
	}
	return text.String()
}

// details says in which fields two events of one type differ, and shows both as they are recorded if it takes that to see it.
func details(want, got fact) string {
	text, shown := fields(reflect.ValueOf(want.value), reflect.ValueOf(got.value))
	if !shown || text == "" && unclear(want.String(), got.String()) {
		text += fmt.Sprintf("        want, as recorded: %s\n        got, as recorded:  %s\n", want.data(), got.data())
	}
	return text
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
