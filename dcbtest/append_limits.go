package dcbtest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dcbstore/dcb"
)

// appendLimitCases check each limit of an append from both sides.
func appendLimitCases() []Case {
	return []Case{
		{
			Name: "Append limits/type bytes",
			Rule: ruleTypeLimit + " " + ruleLimits,
			Run: func(t *T) {
				longest := event(strings.Repeat("é", dcb.MaxTypeBytes/2))
				t.append(event("x"), longest)
				t.appendInvalid("events[1].Type", dcb.MaxTypeBytes, event("T"), event(longest.Type+"x"))
				t.appendInvalid("events[0].Type", dcb.MaxTypeBytes, event(strings.Repeat("é", dcb.MaxTypeBytes/2+1)))
				t.appendInvalid("events[0].Type", 0, event(""))
				t.holds(event("x"), longest)
			},
		},
		{
			Name: "Append limits/tag bytes",
			Rule: ruleTagLimit + " " + ruleLimits,
			Run: func(t *T) {
				longest := event("T", "x", strings.Repeat("日", 341)+"x")
				t.append(longest)
				t.appendInvalid("events[0].Tags[1]", dcb.MaxTagBytes, event("T", "ok", longest.Tags[1]+"x"))
				t.appendInvalid("events[2].Tags[0]", 0, event("T"), event("T", "a"), event("T", ""))
				t.holds(longest)
				t.selects(tagged(longest.Tags[1]), 1)
			},
		},
		{
			Name: "Append limits/tags of an event",
			Rule: ruleTagLimit + " " + ruleLimits,
			Run: func(t *T) {
				most := event("T", numbered("tag", dcb.MaxTags)...)
				t.append(most)
				t.appendInvalid("events[1].Tags", dcb.MaxTags, event("T"), event("T", numbered("tag", dcb.MaxTags+1)...))
				t.holds(most)
			},
		},
		{
			Name: "Append limits/repeated tags count once",
			Rule: ruleTagLimit + " " + ruleTagOnce,
			Run: func(t *T) {
				tags := numbered("tag", dcb.MaxTags)
				t.append(event("T", append(tags, tags...)...))
				t.holds(event("T", tags...))
			},
		},
		{
			Name:  "Append limits/data bytes",
			Rule:  ruleDataLimit + " " + ruleLimits,
			Large: true,
			Run: func(t *T) {
				data := patternedBytes(dcb.MaxDataBytes + 1)
				largest := dcb.Event{Type: "T", Data: data[:dcb.MaxDataBytes]}
				t.append(largest)
				t.appendInvalid("events[0].Data", dcb.MaxDataBytes, dcb.Event{Type: "T", Data: data})
				t.holds(largest)
			},
		},
		{
			Name: "Append limits/metadata entries",
			Rule: ruleMetadataLimit + " " + ruleLimits,
			Run: func(t *T) {
				most := dcb.Event{Type: "T", Metadata: metadataEntries(dcb.MaxMetadata)}
				t.append(most)
				t.appendInvalid("events[0].Metadata", dcb.MaxMetadata,
					dcb.Event{Type: "T", Metadata: metadataEntries(dcb.MaxMetadata + 1)})
				t.holds(most)
			},
		},
		{
			Name: "Append limits/metadata bytes",
			Rule: ruleMetadataLimit + " " + ruleLimits,
			Run: func(t *T) {
				key, value := strings.Repeat("k", dcb.MaxMetadataKeyBytes), strings.Repeat("v", dcb.MaxMetadataValueBytes)
				with := func(key, value string) dcb.Event {
					return dcb.Event{Type: "T", Metadata: map[string]string{key: value}}
				}
				t.append(with(key, value), with("k", ""))
				t.appendInvalid("events[0].Metadata key", dcb.MaxMetadataKeyBytes, with(key+"k", "v"))
				t.appendInvalid("events[0].Metadata key", 0, with("", "v"))
				t.appendInvalid(`events[0].Metadata["k"]`, dcb.MaxMetadataValueBytes, with("k", value+"v"))
				t.holds(with(key, value), with("k", ""))
			},
		},
		{
			Name: "Append limits/text is valid UTF-8",
			Rule: ruleText + " " + ruleLimits,
			Run: func(t *T) {
				for _, text := range []string{"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"} {
					t.textInvalid(text)
				}
				t.holds()
			},
		},
		{
			Name: "Append limits/text has no NUL",
			Rule: ruleText + " " + ruleLimits,
			Run: func(t *T) {
				for _, text := range []string{"\x00", "a\x00", "\x00a", "a\x00b"} {
					t.textInvalid(text)
				}
				t.holds()
			},
		},
		{
			Name: "Append limits/at least one event",
			Rule: ruleNoEvents,
			Run: func(t *T) {
				t.appendFails(dcb.ErrNoEvents, nil)
				err := t.appendFails(dcb.ErrNoEvents, &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}, []dcb.Event{}...)
				if !errors.Is(err, dcb.ErrInvalid) {
					t.Errorf("the error of an append without events is not ErrInvalid: %w", err)
				}
			},
		},
		{
			Name:  "Append limits/the greatest number of events",
			Rule:  ruleAppendLimit,
			Large: true,
			Run: func(t *T) {
				events := make([]dcb.Event, dcb.MaxEvents)
				for i := range events {
					events[i] = event("T", fmt.Sprintf("n:%d", i%1000))
				}
				if position := t.append(events...); position != dcb.MaxEvents {
					t.Errorf("Append of %d events = %d", dcb.MaxEvents, position)
				}
				last := t.read(dcb.All(), dcb.ReadOptions{After: dcb.MaxEvents - 2})
				t.wantEvents(last.Events, events[dcb.MaxEvents-2:]...)
				if n := len(t.read(tagged("n:7"), dcb.ReadOptions{}).Events); n != 66 {
					t.Errorf("a tag of every thousandth event selects %d events, want 66", n)
				}
			},
		},
		{
			Name: "Append limits/one event too many",
			Rule: ruleAppendLimit + " " + ruleLimits,
			Run: func(t *T) {
				t.appendInvalid("events", dcb.MaxEvents, plainEvents(dcb.MaxEvents+1)...)
			},
		},
		{
			Name:  "Append limits/the greatest number of bytes",
			Rule:  ruleAppendLimit,
			Large: true,
			Run: func(t *T) {
				events := largestAppend()
				t.append(events...)
				for i, want := range events {
					result := t.read(dcb.All(), dcb.ReadOptions{After: dcb.Position(i), Limit: 1})
					t.wantEvents(result.Events, want)
				}
			},
		},
		{
			Name: "Append limits/one byte too many",
			Rule: ruleAppendLimit + " " + ruleLimits,
			Run: func(t *T) {
				events := largestAppend()
				events[3].Tags = []string{events[3].Tags[0] + "x"}
				t.appendInvalid("events", dcb.MaxAppendBytes, events...)
			},
		},
		{
			Name: "Append limits/one invalid event fails the whole append",
			Rule: ruleAppend + " " + ruleLimits,
			Run: func(t *T) {
				events := make([]dcb.Event, 50)
				for i := range events {
					events[i] = withID("T", "a")
				}
				events[49].Type = ""
				t.appendInvalid("events[49].Type", 0, events...)
				t.holds()
				events[49].Type = "T"
				t.append(events...) // the failed append has not taken the IDs
				t.holds(events...)
			},
		},
	}
}

// appendInvalid checks that an append fails with an InvalidError for the field and the limit.
func (t *T) appendInvalid(field string, limit int, events ...dcb.Event) {
	t.wantInvalid(t.appendFails(dcb.ErrInvalid, nil, events...), field, limit)
}

// textInvalid checks that an append fails with text as a type, a tag, a metadata key or a value.
func (t *T) textInvalid(text string) {
	t.appendInvalid("events[1].Type", 0, event("T"), event(text))
	t.appendInvalid("events[1].Tags[1]", 0, event("T"), event("T", "a", text))
	t.appendInvalid("events[0].Metadata key", 0, dcb.Event{Type: "T", Metadata: map[string]string{text: "v"}})
	t.appendInvalid(`events[0].Metadata["k"]`, 0, dcb.Event{Type: "T", Metadata: map[string]string{"k": text}})
}

func (t *T) wantInvalid(err error, field string, limit int) {
	invalid, ok := errors.AsType[*dcb.InvalidError](err)
	switch {
	case !ok || !errors.Is(err, dcb.ErrInvalid):
		t.Errorf("got error %v, want a *dcb.InvalidError", err)
	case invalid.Field != field || invalid.Limit != limit:
		t.Errorf("the error names field %q and limit %d, want %q and %d: %w", invalid.Field, invalid.Limit, field, limit, err)
	case dcb.Retryable(err):
		t.Errorf("the error of an invalid argument is Retryable: %w", err)
	}
}

// numbered returns n texts: prefix:0, prefix:1, and so on.
func numbered(prefix string, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("%s:%d", prefix, i)
	}
	return texts
}

func metadataEntries(n int) map[string]string {
	metadata := make(map[string]string, n)
	for _, key := range numbered("key", n) {
		metadata[key] = "value"
	}
	return metadata
}

// patternedBytes returns n bytes that differ after any piece was lost, repeated or moved.
func patternedBytes(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return data
}

// largestAppend returns events with exactly dcb.MaxAppendBytes in all of their fields.
func largestAppend() []dcb.Event {
	data := patternedBytes(dcb.MaxDataBytes)
	events := make([]dcb.Event, 4)
	for i := range events {
		events[i] = dcb.Event{Type: "T", Tags: []string{"tag"}, Metadata: map[string]string{"k": "v"}}
		events[i].Data = data[:dcb.MaxDataBytes-len("T")-len("tag")-len("k")-len("v")]
	}
	return events
}
