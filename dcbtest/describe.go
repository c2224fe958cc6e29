package dcbtest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dcbstore/dcb"
)

func positions(events []dcb.SequencedEvent) []dcb.Position {
	positions := make([]dcb.Position, len(events))
	for i := range events {
		positions[i] = events[i].Position
	}
	return positions
}

// difference says what is different between an event that was read and the one that was appended.
func difference(got, want dcb.Event) string {
	switch {
	case got.Type != want.Type:
		return fmt.Sprintf("has type %s, want %s", quoted(got.Type), quoted(want.Type))
	case !slices.Equal(got.Tags, dcb.UniqueTags(want.Tags)):
		return fmt.Sprintf("has tags %s, want %s", shortened(got.Tags), shortened(dcb.UniqueTags(want.Tags)))
	case !bytes.Equal(got.Data, want.Data):
		return fmt.Sprintf("has %d bytes of data (%s), want %d (%s)",
			len(got.Data), quoted(string(got.Data)), len(want.Data), quoted(string(want.Data)))
	case got.ID != want.ID:
		return fmt.Sprintf("has ID %s, want %s", got.ID, want.ID)
	case !maps.Equal(got.Metadata, want.Metadata):
		return fmt.Sprintf("has metadata %.200q, want %.200q", got.Metadata, want.Metadata)
	}
	return ""
}

func listed(events []dcb.Event) string {
	if len(events) > 3 {
		return fmt.Sprintf("%s and %d more", listed(events[:2]), len(events)-2)
	}
	described := make([]string, len(events))
	for i := range events {
		described[i] = fmt.Sprintf("%s%s", quoted(events[i].Type), shortened(events[i].Tags))
	}
	return strings.Join(described, ", ")
}

func conditional(c *dcb.AppendCondition) string {
	if c == nil {
		return "no condition"
	}
	return fmt.Sprintf("nothing after %d in %s", c.After, queried(c.FailIfEventsMatch))
}

func queried(q dcb.Query) string {
	if len(q) > 4 {
		return fmt.Sprintf("%s and %d items more", queried(q[:2]), len(q)-2)
	}
	items := make([]string, len(q))
	for i := range q {
		items[i] = fmt.Sprintf("{types %s tags %s}", shortened(q[i].Types), shortened(q[i].Tags))
	}
	return strings.Join(items, " or ")
}

func shortened(texts []string) string {
	if len(texts) > 6 {
		return fmt.Sprintf("[%s … %d of them]", quoted(texts[0]), len(texts))
	}
	short := make([]string, len(texts))
	for i, text := range texts {
		short[i] = quoted(text)
	}
	return "[" + strings.Join(short, " ") + "]"
}

func quoted(text string) string {
	if len(text) > 64 {
		return fmt.Sprintf("%+q… (%d bytes)", text[:48], len(text))
	}
	return fmt.Sprintf("%+q", text)
}
