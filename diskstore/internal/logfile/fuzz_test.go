package logfile

import (
	"errors"
	"slices"
	"testing"

	"github.com/dcbstore/dcb"
)

// The corpus in testdata/fuzz is what fuzzing found worth keeping: go test -fuzz FuzzRead ./diskstore/internal/logfile goes on from it.

// FuzzRead takes anything for a frame, and for the records of a frame.
func FuzzRead(f *testing.F) {
	for name := range goldenFrames() {
		f.Add(golden(f, name, nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Clip(b)
		h, err := ReadRecordHeader(goldenSalt, b)
		switch {
		case err == nil:
			checkAnything(t, b, h)
		case !errors.Is(err, ErrEnd) && !errors.Is(err, ErrBroken):
			t.Errorf("Read: %v", err)
		}
		if len(b) < leastRecord {
			return
		}
		// Behind a header that fits.
		b = slices.Concat(make([]byte, RecordHeaderBytes), b)
		seal(goldenSalt, b, RecordHeader{First: goldenFirst, RecordedAt: goldenTime, Count: 1})
		if h, err = ReadRecordHeader(goldenSalt, b); err != nil {
			t.Fatalf("Read of what was sealed: %v", err)
		}
		checkAnything(t, b, h)
	})
}

// checkAnything lets Check read records that may be anything. What it takes for events must stay the same when written and read again.
func checkAnything(t *testing.T, b []byte, h RecordHeader) {
	t.Helper()
	var events []dcb.Event
	err := ReadEntries(goldenSalt, b, h, func(_ uint32, e *dcb.SequencedEvent) error {
		events = append(events, deepCopy(e).Event)
		return nil
	})
	if errors.Is(err, ErrBroken) {
		return
	}
	if err != nil || len(events) != int(h.Count) {
		t.Fatalf("Check: %d events of %d, %v", len(events), h.Count, err)
	}
	again, _ := sealed(h.First, h.RecordedAt, h.Unsynced, events...)
	got, _, err := checked(again)
	if diff := difference(recorded(h.First, h.RecordedAt, events...), got); err != nil || diff != "" {
		t.Errorf("written and read again: %v, %s", err, diff)
	}
}

// FuzzView looks for an event anywhere in anything.
func FuzzView(f *testing.F) {
	for _, events := range goldenFrames() {
		segment, places := segmentOf(events...)
		for i, at := range places {
			f.Add(segment, at, uint64(goldenFirst)+uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, segment []byte, at uint32, position uint64) {
		segment = slices.Clip(segment)
		var viewed, checked dcb.SequencedEvent
		unsure := DecodeEntry(segment, at, dcb.Position(position), &viewed)
		err := ReadEntry(goldenSalt, segment, at, dcb.Position(position), &checked)
		for _, err := range []error{unsure, err} {
			if err != nil && !errors.Is(err, ErrBroken) {
				t.Errorf("at %d: %v", at, err)
			}
		}
		if err == nil && (unsure != nil || !same(viewed, checked)) {
			t.Errorf("View: %+v, %v; CheckedView: %+v", viewed, unsure, checked)
		}
	})
}

// FuzzReadSegment takes anything for the header of a segment.
func FuzzReadSegment(f *testing.F) {
	for name := range goldenSegments() {
		f.Add(golden(f, name, nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Clip(b)
		s, err := ReadSegmentHeader(b)
		switch {
		case err == nil && !slices.Equal(s.Encode(), b[:SegmentHeaderBytes]):
			t.Errorf("%+v is written as another header", s)
		case err != nil && !errors.Is(err, ErrBroken) && !errors.Is(err, ErrVersion):
			t.Error(err)
		}
	})
}

// FuzzFindProof compares with the simplest form.
func FuzzFindProof(f *testing.F) {
	for name := range goldenFrames() {
		f.Add(golden(f, name, nil), uint64(goldenFirst-1))
		f.Add(golden(f, name, nil), uint64(goldenFirst-4))
	}
	f.Add(liars(2048), uint64(5000))
	f.Fuzz(func(t *testing.T, b []byte, position uint64) {
		b = slices.Clip(b[:min(len(b), 8<<10)]) // the simplest form takes its time
		at, found := FindProof(goldenSalt, b, dcb.Position(position))
		if wantAt, want := plainProof(b, dcb.Position(position)); at != wantAt || found != want {
			t.Errorf("%d, %v; want %d, %v", at, found, wantAt, want)
		}
	})
}
