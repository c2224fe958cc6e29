package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dcbstore/dcb"
)

// sealed returns the frame of events, and where its records begin.
func sealed(first dcb.Position, recordedAt int64, behind uint32, events ...dcb.Event) ([]byte, []uint32) {
	var d Encoder
	d.Encode(events)
	d.Seal(goldenSalt, first, recordedAt, behind)
	return d.Bytes, d.EntryOffsets
}

// recorded returns what is to be read of events.
func recorded(first dcb.Position, recordedAt int64, events ...dcb.Event) []dcb.SequencedEvent {
	var want []dcb.SequencedEvent
	for i, e := range events {
		e.Tags = dcb.UniqueTags(e.Tags)
		want = append(want, dcb.SequencedEvent{Event: e, Position: first + dcb.Position(i), RecordedAt: time.UnixMicro(recordedAt).UTC()})
	}
	return want
}

// difference takes nil and empty for the same, as the contract does.
func difference(want, got []dcb.SequencedEvent) string {
	if slices.EqualFunc(want, got, same) {
		return ""
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty())
}

func same(a, b dcb.SequencedEvent) bool {
	return a.Same(b.Event) && slices.Equal(a.Tags, b.Tags) && a.Position == b.Position && a.RecordedAt.Equal(b.RecordedAt)
}

// checked returns all events of the frame b, and where their records begin.
func checked(b []byte) (events []dcb.SequencedEvent, places []uint32, err error) {
	h, err := ReadRecordHeader(goldenSalt, b)
	if err != nil {
		return nil, nil, err
	}
	err = ReadEntries(goldenSalt, b, h, func(at uint32, e *dcb.SequencedEvent) error {
		events, places = append(events, deepCopy(e)), append(places, at)
		return nil
	})
	return events, places, err
}

// deepCopy copies the strings too, which Clone leaves where they are.
func deepCopy(e *dcb.SequencedEvent) dcb.SequencedEvent {
	c := e.Clone()
	c.Type = strings.Clone(c.Type)
	for i, tag := range c.Tags {
		c.Tags[i] = strings.Clone(tag)
	}
	return c
}

// texts are of least to most bytes: mostly short, and sometimes as long as they may be.
func texts(least, most int) *rapid.Generator[string] {
	return rapid.Custom(func(r *rapid.T) string {
		n := sizes(least, most).Draw(r, "bytes")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("aé€😀")), 0, min(3, n), n).Draw(r, "text")
		return text + strings.Repeat("x", n-len(text))
	})
}

func sizes(least, most int) *rapid.Generator[int] {
	return rapid.OneOf(rapid.IntRange(least, min(most, least+9)), rapid.SampledFrom([]int{least, min(127, most), min(128, most), most - 1, most}))
}

// anyEvents are valid ones.
func anyEvents(largest int) *rapid.Generator[[]dcb.Event] {
	return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) dcb.Event {
		e := dcb.Event{
			Type: texts(1, dcb.MaxTypeBytes).Draw(r, "type"),
			Data: bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 1).Draw(r, "data"), sizes(0, largest).Draw(r, "size")),
			Tags: rapid.SliceOfN(texts(1, dcb.MaxTagBytes), 0, 3).Draw(r, "tags"), // which may be the same
		}
		if rapid.Bool().Draw(r, "identified") {
			e.ID = uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(r, "ID"))
		}
		e.Metadata = rapid.MapOfN(texts(1, dcb.MaxMetadataKeyBytes), texts(0, dcb.MaxMetadataValueBytes), 0, 3).Draw(r, "metadata")
		return e
	}), 1, 5)
}

func TestWhatIsEncodedIsRead(t *testing.T) {
	t.Parallel()
	var d Encoder // used again and again
	rapid.Check(t, func(r *rapid.T) {
		events := anyEvents(1<<15).Draw(r, "events")
		if err := dcb.ValidateAppend(events, nil); errors.Is(err, dcb.ErrDuplicateID) {
			r.Skip()
		} else if err != nil {
			r.Fatal(err)
		}
		first := dcb.Position(rapid.Uint64Range(1, 1<<60).Draw(r, "first"))
		recordedAt := rapid.Int64Range(0, 1<<53).Draw(r, "recordedAt")
		behind := rapid.Uint32Range(0, uint32(min(first-1, 1<<32-1))).Draw(r, "behind")
		d.Encode(events)
		crc := d.Seal(goldenSalt, first, recordedAt, behind)

		h, err := ReadRecordHeader(goldenSalt, d.Bytes)
		said := RecordHeader{uint32(len(d.Bytes)), crc, first, recordedAt, uint32(len(events)), behind}
		if err != nil || h != said {
			r.Fatalf("Read: %+v, %v; want %+v", h, err, said)
		}
		if h.Next() != first+dcb.Position(len(events)) || h.Durable() != first-1-dcb.Position(behind) {
			r.Errorf("%+v: next %d, durable %d", h, h.Next(), h.Durable())
		}
		want := recorded(first, recordedAt, events...)
		got, places, err := checked(d.Bytes)
		if diff := difference(want, got); err != nil || diff != "" {
			r.Fatalf("Check: %v, %s", err, diff)
		}
		if !slices.Equal(places, d.EntryOffsets) {
			r.Errorf("Check found the records at %d; they are at %d", places, d.EntryOffsets)
		}
		viewed(r, d, want)
	})
}

// viewed looks at each event where a segment has it.
func viewed(r *rapid.T, d Encoder, want []dcb.SequencedEvent) {
	start := make([]byte, SegmentHeaderBytes+rapid.IntRange(0, 9).Draw(r, "before"))
	segment := slices.Concat(start, d.Bytes, rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(r, "after"))
	var e dcb.SequencedEvent // used again and again
	for i, at := range d.EntryOffsets {
		at += uint32(len(start))
		if err := DecodeEntry(segment, at, want[i].Position, &e); err != nil || !same(want[i], e) {
			r.Errorf("View: %v, %s", err, cmp.Diff(want[i], e, cmpopts.EquateEmpty()))
		}
		if err := ReadEntry(goldenSalt, segment, at, want[i].Position, &e); err != nil || !same(want[i], e) {
			r.Errorf("CheckedView: %v, %s", err, cmp.Diff(want[i], e, cmpopts.EquateEmpty()))
		}
		if err := ReadEntry(goldenSalt, segment, at, want[i].Position+1, &e); !errors.Is(err, ErrBroken) {
			r.Errorf("CheckedView of another position: %v", err)
		}
	}
}

// largest is the event with all that one may have.
func largest() dcb.Event {
	e := dcb.Event{
		Type: strings.Repeat("t", dcb.MaxTypeBytes), ID: uuid.Max, Data: make([]byte, dcb.MaxDataBytes), Metadata: make(map[string]string),
	}
	for i := range dcb.MaxTags {
		e.Tags = append(e.Tags, fmt.Sprintf("%0*d", dcb.MaxTagBytes, i))
	}
	for i := range dcb.MaxMetadata {
		e.Metadata[fmt.Sprintf("%0*d", dcb.MaxMetadataKeyBytes, i)] = strings.Repeat("v", dcb.MaxMetadataValueBytes)
	}
	return e
}

// payload is what e counts against dcb.MaxAppendBytes.
func payload(e dcb.Event) int {
	size := len(e.Type) + len(e.Data)
	for _, tag := range e.Tags {
		size += len(tag)
	}
	for key, value := range e.Metadata {
		size += len(key) + len(value)
	}
	return size
}

func TestNoFrameIsLargerThanMaxBytes(t *testing.T) {
	t.Parallel()
	most := largest()
	second := most
	second.ID = uuid.UUID{1}
	b, places := sealed(1, 0, 0, most, second)
	if err := dcb.ValidateAppend([]dcb.Event{most, second}, nil); err != nil {
		t.Fatal(err)
	}
	if got, _, err := checked(b); err != nil || difference(recorded(1, 0, most, second), got) != "" {
		t.Errorf("the largest events are not read as they were written: %v", err)
	}
	// No length of an event with less takes more room.
	overhead := int(places[1]-places[0]) - payload(most)
	if bound := RecordHeaderBytes + dcb.MaxAppendBytes + dcb.MaxEvents*overhead; bound > MaxRecordBytes {
		t.Errorf("a frame may have %d bytes, and MaxBytes is %d", bound, MaxRecordBytes)
	}
}

// crowd is an append at all limits that can be reached at once. Only some of the events have all the lengths that one can have, to save time.
func crowd() []dcb.Event {
	full := dcb.Event{Type: "t", Metadata: make(map[string]string)}
	for i := range dcb.MaxTags {
		full.Tags = append(full.Tags, string(rune(i+1)))
	}
	for i := range dcb.MaxMetadata {
		full.Metadata[string(rune(i+1))] = ""
	}
	const share = dcb.MaxAppendBytes / dcb.MaxEvents
	full.Data = make([]byte, share-payload(full))
	plain := dcb.Event{Type: "t", Data: make([]byte, share-1)}
	events := make([]dcb.Event, dcb.MaxEvents)
	for i := range events {
		events[i] = plain
		if i%512 == 0 {
			events[i] = full
		}
		events[i].ID = uuid.UUID{byte(i), byte(i >> 8), 1}
	}
	return events
}

func TestAnAppendAtAllLimitsIsAFrame(t *testing.T) {
	t.Parallel()
	events := crowd()
	if err := dcb.ValidateAppend(events, nil); err != nil {
		t.Fatal(err)
	}
	b, _ := sealed(1, 0, 0, events...)
	if len(b) > MaxRecordBytes {
		t.Errorf("a frame of %d bytes; MaxBytes is %d", len(b), MaxRecordBytes)
	}
	h, err := ReadRecordHeader(goldenSalt, b)
	if err != nil || h.Count != dcb.MaxEvents {
		t.Fatalf("Read: %+v, %v", h, err)
	}
	n := 0
	err = ReadEntries(goldenSalt, b, h, func(_ uint32, e *dcb.SequencedEvent) error {
		if !e.Same(events[n]) {
			return fmt.Errorf("event %d is another one", n)
		}
		n++
		return nil
	})
	if err != nil || n != len(events) {
		t.Errorf("Check: %d events, %v", n, err)
	}
}

func TestCheckEndsWithTheErrorOfEach(t *testing.T) {
	t.Parallel()
	b, _ := sealed(1, 0, 0, dcb.Event{Type: "A"}, dcb.Event{Type: "B"})
	h, err := ReadRecordHeader(goldenSalt, b)
	if err != nil {
		t.Fatal(err)
	}
	enough, n := errors.New("enough"), 0
	err = ReadEntries(goldenSalt, b, h, func(uint32, *dcb.SequencedEvent) error { n++; return enough })
	if !errors.Is(err, enough) || errors.Is(err, ErrBroken) || n != 1 {
		t.Errorf("%v after %d events", err, n)
	}
}

func TestEncodingAllocatesNothingPerEvent(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts those of all goroutines
	e := typical()[0]
	e.Metadata = map[string]string{"b": "1", "a": "2"}
	events := []dcb.Event{e, e, e}
	var d Encoder
	var view dcb.SequencedEvent
	work := func() {
		d.Encode(events)
		d.Seal(goldenSalt, 1, 0, 0)
	}
	work()
	if n := testing.AllocsPerRun(100, work); n > 0 {
		t.Errorf("Encode and Seal allocate %v times", n)
	}
	b, places := sealed(7, 0, 0, typical()...)
	segment := append(make([]byte, SegmentHeaderBytes), b...)
	look := func() {
		if err := ReadEntry(goldenSalt, segment, SegmentHeaderBytes+places[0], 7, &view); err != nil {
			t.Error(err)
		}
	}
	look()
	if n := testing.AllocsPerRun(100, look); n > 0 {
		t.Errorf("CheckedView allocates %v times", n)
	}
}
