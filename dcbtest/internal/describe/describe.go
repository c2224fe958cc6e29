// Package describe formats queries, conditions and events for failure messages. Long values are
// shortened, so that a message stays readable whatever a test appends.
package describe

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dcbstore/dcb"
)

// Query formats the items of q.
func Query(q dcb.Query) string {
	if len(q) > 4 {
		return fmt.Sprintf("%s and %d more items", Query(q[:2]), len(q)-2)
	}
	items := make([]string, len(q))
	for i := range q {
		items[i] = fmt.Sprintf("{types %s tags %s}", texts(q[i].Types), texts(q[i].Tags))
	}
	return strings.Join(items, " or ")
}

// Condition formats an append condition, which may be nil.
func Condition(c *dcb.AppendCondition) string {
	if c == nil {
		return "no condition"
	}
	return fmt.Sprintf("fail if events after %d match %s", c.After, Query(c.FailIfEventsMatch))
}

// Events formats the types and tags of events.
func Events(events []dcb.Event) string {
	if len(events) > 3 {
		return fmt.Sprintf("%s and %d more", Events(events[:2]), len(events)-2)
	}
	described := make([]string, len(events))
	for i := range events {
		described[i] = Text(events[i].Type) + texts(events[i].Tags)
	}
	return strings.Join(described, ", ")
}

// Difference describes the first difference between an event that was read and the event that was
// appended. It returns "" if there is none. A tag that was appended twice is expected once.
func Difference(got, want dcb.Event) string {
	switch {
	case got.Type != want.Type:
		return fmt.Sprintf("type is %s, want %s", Text(got.Type), Text(want.Type))
	case !slices.Equal(got.Tags, dcb.UniqueTags(want.Tags)):
		return fmt.Sprintf("tags are %s, want %s", texts(got.Tags), texts(dcb.UniqueTags(want.Tags)))
	case !bytes.Equal(got.Data, want.Data):
		return fmt.Sprintf("data has %d bytes (%s), want %d (%s)",
			len(got.Data), Text(string(got.Data)), len(want.Data), Text(string(want.Data)))
	case got.ID != want.ID:
		return fmt.Sprintf("ID is %s, want %s", got.ID, want.ID)
	case !maps.Equal(got.Metadata, want.Metadata):
		return fmt.Sprintf("metadata is %.200q, want %.200q", got.Metadata, want.Metadata)
	}
	return ""
}

// Text quotes s in ASCII and shortens it to 48 bytes if it is long.
func Text(s string) string {
	if len(s) > 64 {
		return fmt.Sprintf("%+q… (%d bytes)", s[:48], len(s))
	}
	return fmt.Sprintf("%+q", s)
}

func texts(all []string) string {
	if len(all) > 6 {
		return fmt.Sprintf("[%s … %d in all]", Text(all[0]), len(all))
	}
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = Text(s)
	}
	return "[" + strings.Join(quoted, " ") + "]"
}
