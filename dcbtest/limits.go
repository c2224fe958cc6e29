package dcbtest

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/dcbstore/dcb"
)

const refusedRule = "Outside the limits: an InvalidError naming the field and the limit, nothing recorded."

func limitCases() []Case {
	return []Case{
		{
			Name: "limits/type bytes",
			Rule: "A type has 1 to 256 bytes.",
			Run: func(t *T) {
				edge := event(strings.Repeat("é", dcb.MaxTypeBytes/2))
				t.append(event("x"), edge)
				t.refusedField("events[1].Type", dcb.MaxTypeBytes, event("T"), event(edge.Type+"x"))
				t.refusedField("events[0].Type", dcb.MaxTypeBytes, event(strings.Repeat("é", dcb.MaxTypeBytes/2+1)))
				t.refusedField("events[0].Type", 0, event(""))
				t.recorded(event("x"), edge)
			},
		},
		{
			Name: "limits/tag bytes",
			Rule: "A tag has 1 to 1,024 bytes.",
			Run: func(t *T) {
				edge := event("T", "x", strings.Repeat("日", 341)+"x")
				t.append(edge)
				t.refusedField("events[0].Tags[1]", dcb.MaxTagBytes, event("T", "ok", edge.Tags[1]+"x"))
				t.refusedField("events[2].Tags[0]", 0, event("T"), event("T", "a"), event("T", ""))
				t.recorded(edge)
				t.selects(tagged(edge.Tags[1]), 1)
			},
		},
		{
			Name: "limits/tags of an event",
			Rule: "At most 128 tags an event, repetitions not counted.",
			Run: func(t *T) {
				edge := event("T", numbered("tag", dcb.MaxTags)...)
				t.append(edge)
				t.refusedField("events[1].Tags", dcb.MaxTags, event("T"), event("T", numbered("tag", dcb.MaxTags+1)...))
				t.recorded(edge)
			},
		},
		{
			Name: "limits/repeated tags do not count",
			Rule: "At most 128 tags an event, repetitions not counted. Tags given twice are recorded once.",
			Run: func(t *T) {
				tags := numbered("tag", dcb.MaxTags)
				t.append(event("T", append(tags, tags...)...))
				t.recorded(event("T", tags...))
			},
		},
		{
			Name:  "limits/data bytes",
			Rule:  "Data is at most 16 MiB.",
			Large: true,
			Run: func(t *T) {
				data := patterned(dcb.MaxDataBytes + 1)
				edge := dcb.Event{Type: "T", Data: data[:dcb.MaxDataBytes]}
				t.append(edge)
				t.refusedField("events[0].Data", dcb.MaxDataBytes, dcb.Event{Type: "T", Data: data})
				t.recorded(edge)
			},
		},
		{
			Name: "limits/metadata entries",
			Rule: "Metadata is at most 64 entries.",
			Run: func(t *T) {
				edge := dcb.Event{Type: "T", Metadata: entries(dcb.MaxMetadata)}
				t.append(edge)
				t.refusedField("events[0].Metadata", dcb.MaxMetadata, dcb.Event{Type: "T", Metadata: entries(dcb.MaxMetadata + 1)})
				t.recorded(edge)
			},
		},
		{
			Name: "limits/metadata bytes",
			Rule: "Metadata keys have 1 to 256 bytes, values to 4 KiB.",
			Run: func(t *T) {
				key, value := strings.Repeat("k", dcb.MaxMetadataKeyBytes), strings.Repeat("v", dcb.MaxMetadataValueBytes)
				with := func(key, value string) dcb.Event {
					return dcb.Event{Type: "T", Metadata: map[string]string{key: value}}
				}
				t.append(with(key, value), with("k", ""))
				t.refusedField("events[0].Metadata key", dcb.MaxMetadataKeyBytes, with(key+"k", "v"))
				t.refusedField("events[0].Metadata key", 0, with("", "v"))
				t.refusedField(`events[0].Metadata["k"]`, dcb.MaxMetadataValueBytes, with("k", value+"v"))
				t.recorded(with(key, value), with("k", ""))
			},
		},
		{
			Name: "limits/text is valid UTF-8",
			Rule: "Types, tags, and the keys and values of metadata are valid UTF-8.",
			Run: func(t *T) {
				for _, text := range []string{"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"} {
					t.refusedText(text)
				}
				t.recorded()
			},
		},
		{
			Name: "limits/text is without NUL",
			Rule: "Types, tags, and the keys and values of metadata are without NUL.",
			Run: func(t *T) {
				for _, text := range []string{"\x00", "a\x00", "\x00a", "a\x00b"} {
					t.refusedText(text)
				}
				t.recorded()
			},
		},
		{
			Name: "limits/an append has events",
			Rule: "No events: ErrNoEvents. The events of an append must not be empty.",
			Run: func(t *T) {
				t.refused(dcb.ErrNoEvents, nil)
				err := t.refused(dcb.ErrNoEvents, &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}, []dcb.Event{}...)
				if !errors.Is(err, dcb.ErrInvalid) {
					t.Errorf("%v is not ErrInvalid", err)
				}
			},
		},
		{
			Name:  "limits/as many events as an append may have",
			Rule:  "At most 65,536 events an append.",
			Large: true,
			Run: func(t *T) {
				events := make([]dcb.Event, dcb.MaxEvents)
				for i := range events {
					events[i] = event("T", fmt.Sprintf("n:%d", i%1000))
				}
				if position := t.append(events...); position != dcb.MaxEvents {
					t.Errorf("the position is %d, want %d", position, dcb.MaxEvents)
				}
				last := t.read(dcb.All(), dcb.ReadOptions{After: dcb.MaxEvents - 2})
				t.sameEvents(last.Events, events[dcb.MaxEvents-2:]...)
				if n := len(t.read(tagged("n:7"), dcb.ReadOptions{}).Events); n != 66 {
					t.Errorf("a tag of every thousandth event selects %d, want 66", n)
				}
			},
		},
		{
			Name: "limits/one event more than an append may have",
			Rule: "At most 65,536 events an append.",
			Run: func(t *T) {
				events := make([]dcb.Event, dcb.MaxEvents+1)
				for i := range events {
					events[i].Type = "T"
				}
				t.refusedField("events", dcb.MaxEvents, events...)
			},
		},
		{
			Name:  "limits/as many bytes as an append may have",
			Rule:  "At most 64 MiB an append: types, tags, data and metadata of all its events.",
			Large: true,
			Run: func(t *T) {
				events := largest()
				t.append(events...)
				for i, want := range events {
					result := t.read(dcb.All(), dcb.ReadOptions{After: dcb.Position(i), Limit: 1})
					t.sameEvents(result.Events, want)
				}
			},
		},
		{
			Name: "limits/one byte more than an append may have",
			Rule: "At most 64 MiB an append: types, tags, data and metadata of all its events.",
			Run: func(t *T) {
				events := largest()
				events[3].Tags = []string{events[3].Tags[0] + "x"}
				t.refusedField("events", dcb.MaxAppendBytes, events...)
			},
		},
		{
			Name: "limits/one invalid event spoils the append",
			Rule: "All events of an append are recorded, or none. " + refusedRule,
			Run: func(t *T) {
				events := make([]dcb.Event, 50)
				for i := range events {
					events[i] = identified("T", "a")
				}
				events[49].Type = ""
				t.refusedField("events[49].Type", 0, events...)
				t.recorded()
				events[49].Type = "T"
				t.append(events...) // the IDs of the refused append are free
				t.recorded(events...)
			},
		},
		{
			Name: "limits/a read has a limit that is not negative",
			Rule: "Limit is the greatest number of events to return. Negative is invalid.",
			Run: func(t *T) {
				t.append(event("T"))
				for _, limit := range []int{-1, math.MinInt} {
					_, err := t.Store.Read(t.ctx, dcb.All(), dcb.ReadOptions{Limit: limit})
					t.wantInvalid(err, "options.Limit", 0)
				}
			},
		},
	}
}

// refusedField expects an append to be refused because of a field and a limit, and to leave nothing behind.
func (t *T) refusedField(field string, limit int, events ...dcb.Event) {
	t.wantInvalid(t.refused(dcb.ErrInvalid, nil, events...), field, limit)
}

// refusedText expects an append to be refused with text in any place for text.
func (t *T) refusedText(text string) {
	t.refusedField("events[1].Type", 0, event("T"), event(text))
	t.refusedField("events[1].Tags[1]", 0, event("T"), event("T", "a", text))
	t.refusedField("events[0].Metadata key", 0, dcb.Event{Type: "T", Metadata: map[string]string{text: "v"}})
	t.refusedField(`events[0].Metadata["k"]`, 0, dcb.Event{Type: "T", Metadata: map[string]string{"k": text}})
}

func (t *T) wantInvalid(err error, field string, limit int) {
	var invalid *dcb.InvalidError
	switch {
	case !errors.As(err, &invalid) || !errors.Is(err, dcb.ErrInvalid):
		t.Errorf("got error %v, want an *dcb.InvalidError", err)
	case invalid.Field != field || invalid.Limit != limit:
		t.Errorf("the error is about %q with limit %d, want %q with limit %d: %w", invalid.Field, invalid.Limit, field, limit, err)
	case dcb.Retryable(err):
		t.Errorf("an invalid argument is said to be retryable: %w", err)
	}
}

func numbered(prefix string, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("%s:%d", prefix, i)
	}
	return texts
}

func entries(n int) map[string]string {
	metadata := make(map[string]string, n)
	for _, key := range numbered("key", n) {
		metadata[key] = "value"
	}
	return metadata
}

// patterned returns n bytes in which a piece that is lost, repeated or moved shows.
func patterned(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return data
}

// largest returns events that have exactly as many bytes as an append may have, in all of their fields.
func largest() []dcb.Event {
	data := patterned(dcb.MaxDataBytes)
	events := make([]dcb.Event, 4)
	for i := range events {
		events[i] = dcb.Event{Type: "T", Tags: []string{"tag"}, Metadata: map[string]string{"k": "v"}}
		events[i].Data = data[:dcb.MaxDataBytes-len("T")-len("tag")-len("k")-len("v")]
	}
	return events
}
