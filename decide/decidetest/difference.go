package decidetest

import (
	"fmt"
	"reflect"
	"strings"
)

// difference says how got differs from want, event by event; "" if it does not.
func difference(want, got []any) string {
	var text strings.Builder
	same := len(want) == len(got)
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			fmt.Fprintf(&text, "  missing:  %s\n", described(want[i]))
		case i >= len(want):
			fmt.Fprintf(&text, "  too much: %s\n", described(got[i]))
		case reflect.DeepEqual(want[i], got[i]):
			fmt.Fprintf(&text, "  as wanted: %s\n", described(got[i]))
		default:
			same = false
			fmt.Fprintf(&text, "  want: %s\n  got:  %s\n%s", described(want[i]), described(got[i]), fields(want[i], got[i]))
		}
	}
	if same {
		return ""
	}
	return text.String()
}

// fields names those fields in which two events of one type differ.
func fields(want, got any) string {
	w, g := reflect.ValueOf(want), reflect.ValueOf(got)
	if !w.IsValid() || !g.IsValid() || w.Type() != g.Type() || w.Kind() != reflect.Struct {
		return ""
	}
	var text strings.Builder
	for i := range w.NumField() {
		if field := w.Type().Field(i); field.IsExported() && !reflect.DeepEqual(w.Field(i).Interface(), g.Field(i).Interface()) {
			fmt.Fprintf(&text, "        %s: want %+v, got %+v\n", field.Name, w.Field(i), g.Field(i))
		}
	}
	return text.String()
}

// described is an event with its type but without its package, and without the noise of Go syntax.
func described(event any) string {
	if event == nil {
		return "nil"
	}
	return fmt.Sprintf("%s%+v", reflect.TypeOf(event).Name(), event)
}

func listed(events []any) string {
	if len(events) == 0 {
		return "no events, and no error"
	}
	all := make([]string, len(events))
	for i, event := range events {
		all[i] = described(event)
	}
	return strings.Join(all, ", ")
}

func outcome(err error) string {
	if err == nil {
		return "no error"
	}
	return fmt.Sprintf("error %q", err)
}
