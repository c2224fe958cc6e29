package logfile

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dcbstore/dcb"
)

// segmentOf returns a segment with a frame, zeros behind it, and the places of the records. Whoever reads beyond it fails.
func segmentOf(events ...dcb.Event) (segment []byte, places []uint32) {
	b, places := sealed(goldenFirst, goldenTime, goldenBehind, events...)
	segment = slices.Concat(SegmentHeader{StoreID: goldenID, First: goldenFirst}.Encode(), b, make([]byte, 70))
	for i := range places {
		places[i] += SegmentHeaderBytes
	}
	return slices.Clip(segment), places
}

// damages calls each with b after each change of one bit and of one whole byte, and says where it is.
func damages(b []byte, each func(at int)) {
	for at, right := range b {
		for _, change := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
			b[at] = right ^ change
			each(at)
		}
		b[at] = right
	}
}

func TestNoChangeOfAByteOfAFrameIsOverlooked(t *testing.T) {
	t.Parallel()
	for name, events := range goldenFrames() {
		segment, places := segmentOf(events...)
		end := len(segment) - 70
		ends := append(slices.Clone(places[min(1, len(places)):]), uint32(end))
		want := recorded(goldenFirst, goldenTime, events...)
		damages(segment[SegmentHeaderBytes:end], func(at int) {
			at += SegmentHeaderBytes
			if _, err := ReadRecordHeader(goldenSalt, segment[SegmentHeaderBytes:]); !errors.Is(err, ErrBroken) {
				t.Fatalf("%s: Read with another byte at %d: %v", name, at, err)
			}
			for i, place := range places {
				var e dcb.SequencedEvent
				err := ReadEntry(goldenSalt, segment, place, want[i].Position, &e)
				switch within := uint32(at) >= place && uint32(at) < ends[i] || len(places) == 1; {
				case within && !errors.Is(err, ErrBroken):
					t.Fatalf("%s: CheckedView of event %d with another byte at %d: %v", name, i, at, err)
				case !within && (err != nil || !same(e, want[i])):
					t.Fatalf("%s: CheckedView of event %d with another byte at %d, not of its own: %v", name, i, at, err)
				}
				_ = DecodeEntry(segment, place, want[i].Position, &e) // it may find anything, but must come back
			}
		})
	}
}

// TestNoChangeOfARecordIsOverlooked is about the records' own checksums: the frame's is made to fit what was changed.
func TestNoChangeOfARecordIsOverlooked(t *testing.T) {
	t.Parallel()
	b, _ := sealed(goldenFirst, goldenTime, 0, several...)
	h, err := ReadRecordHeader(goldenSalt, b)
	if err != nil {
		t.Fatal(err)
	}
	damages(b[RecordHeaderBytes:], func(at int) {
		seal(goldenSalt, b, h)
		_, _, err := checked(b)
		if !errors.Is(err, ErrBroken) {
			t.Fatalf("Check with another byte at %d: %v", RecordHeaderBytes+at, err)
		}
	})
}

func TestAFrameThatIsCutOffIsBroken(t *testing.T) {
	t.Parallel()
	for name, events := range goldenFrames() {
		segment, places := segmentOf(events...)
		end := len(segment) - 70
		for size := range end - SegmentHeaderBytes {
			cut := segment[SegmentHeaderBytes : SegmentHeaderBytes+size : SegmentHeaderBytes+size]
			torn := append(slices.Clone(cut), make([]byte, len(segment)-SegmentHeaderBytes-size)...)
			want := ErrBroken
			if size == 0 {
				want = ErrEnd
			}
			if _, err := ReadRecordHeader(goldenSalt, cut); !errors.Is(err, want) {
				t.Errorf("%s: Read of %d bytes: %v; want %v", name, size, err, want)
			}
			if slices.Equal(torn, segment[SegmentHeaderBytes:]) {
				continue // what was cut off are zeros anyway
			}
			if _, err := ReadRecordHeader(goldenSalt, torn); !errors.Is(err, want) {
				t.Errorf("%s: Read of %d bytes and then zeros: %v; want %v", name, size, err, want)
			}
		}
		for size := range end {
			cut := segment[:size:size]
			for i, place := range places {
				var e dcb.SequencedEvent
				err := ReadEntry(goldenSalt, cut, place, goldenFirst+dcb.Position(i), &e)
				if last := i == len(places)-1; last && !errors.Is(err, ErrBroken) {
					t.Errorf("%s: CheckedView of event %d in %d bytes of the segment: %v", name, i, size, err)
				}
				_ = DecodeEntry(cut, place, goldenFirst, &e) // as above
			}
		}
	}
}

func TestZerosAndNothingAreTheEnd(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, RecordHeaderBytes - 1, RecordHeaderBytes, 4096} {
		if h, err := ReadRecordHeader(goldenSalt, make([]byte, size)); !errors.Is(err, ErrEnd) || h != (RecordHeader{}) {
			t.Errorf("Read of %d zeros: %+v, %v", size, h, err)
		}
	}
}

func TestAFrameThatSaysTheImpossibleIsBroken(t *testing.T) {
	t.Parallel()
	const far = ^dcb.Position(0)
	one := RecordHeaderBytes + leastRecord
	for name, c := range map[string]struct {
		size int
		RecordHeader
	}{
		"no position":                        {one, RecordHeader{First: 0, Count: 1}},
		"more behind it than before it":      {one, RecordHeader{First: 7, Count: 1, Unsynced: 7}},
		"recorded before 1970":               {one, RecordHeader{First: 7, Count: 1, RecordedAt: -1}},
		"a mark with content":                {RecordHeaderBytes + 1, RecordHeader{First: 7}},
		"more events than an append has":     {RecordHeaderBytes + leastRecord*(dcb.MaxEvents+1), RecordHeader{First: 7, Count: dcb.MaxEvents + 1}},
		"more events than it has room for":   {one, RecordHeader{First: 7, Count: 2}},
		"more positions than there are":      {RecordHeaderBytes + 2*leastRecord, RecordHeader{First: far, Count: 2}},
		"more bytes than an append can have": {MaxRecordBytes + 1, RecordHeader{First: 7, Count: 1}},
	} {
		b := make([]byte, c.size)
		seal(goldenSalt, b, c.RecordHeader)
		if h, err := ReadRecordHeader(goldenSalt, b); !errors.Is(err, ErrBroken) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
		// Of a long one the beginning is enough: the rest are zeros, which takes the race detector half a minute.
		if at, found := FindProof(goldenSalt, b[:min(len(b), 1<<20)], 1); found {
			t.Errorf("%s: it proves something, at %d", name, at)
		}
	}
}

func TestARecordMustFillItsFrame(t *testing.T) {
	t.Parallel()
	b, places := sealed(goldenFirst, goldenTime, 0, alone...)
	h, err := ReadRecordHeader(goldenSalt, b)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, 0)
	seal(goldenSalt, b, h)
	segment := append(make([]byte, SegmentHeaderBytes), b...)
	if _, _, err := checked(b); !errors.Is(err, ErrBroken) {
		t.Errorf("Check: %v", err)
	}
	var e dcb.SequencedEvent
	if err := ReadEntry(goldenSalt, segment, SegmentHeaderBytes+places[0], goldenFirst, &e); !errors.Is(err, ErrBroken) {
		t.Errorf("CheckedView: %v", err)
	}
}

func TestNoByteIsReadBeyondAFrame(t *testing.T) {
	t.Parallel()
	// The data's length says one more than there is.
	b, places := sealed(goldenFirst, goldenTime, 0, dcb.Event{Type: "T", Data: []byte("data")})
	h, err := ReadRecordHeader(goldenSalt, b)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-5]++
	seal(goldenSalt, b, h)
	segment := append(append(make([]byte, SegmentHeaderBytes), b...), "of the next frame"...)
	var e dcb.SequencedEvent
	if err := ReadEntry(goldenSalt, segment, SegmentHeaderBytes+places[0], goldenFirst, &e); !errors.Is(err, ErrBroken) {
		t.Errorf("CheckedView: %v, %q", err, e.Data)
	}
}

func TestAViewIsAskedForAtAnyPlaceOfAnything(t *testing.T) {
	t.Parallel()
	segment, places := segmentOf(several...)
	rapid.Check(t, func(r *rapid.T) {
		b := slices.Clone(segment)
		for range rapid.IntRange(0, 20).Draw(r, "changes") {
			b[rapid.IntRange(0, len(b)-1).Draw(r, "place")] = rapid.Byte().Draw(r, "byte")
		}
		size := rapid.IntRange(0, len(b)).Draw(r, "size")
		b = b[:size:size]
		at := rapid.OneOf(rapid.Uint32Range(0, uint32(len(segment))), rapid.Uint32(), rapid.SampledFrom(places)).Draw(r, "at")
		var e dcb.SequencedEvent
		for _, err := range []error{DecodeEntry(b, at, goldenFirst, &e), ReadEntry(goldenSalt, b, at, goldenFirst, &e)} {
			if err != nil && !errors.Is(err, ErrBroken) {
				r.Errorf("at %d: %v", at, err)
			}
		}
	})
}

func TestNoChangeOfAByteOfASegmentsHeaderIsOverlooked(t *testing.T) {
	t.Parallel()
	for name, s := range goldenSegments() {
		b := s.Encode()
		damages(b, func(at int) {
			if got, err := ReadSegmentHeader(b); !errors.Is(err, ErrBroken) || errors.Is(err, ErrVersion) {
				t.Fatalf("%s with another byte at %d: %+v, %v", name, at, got, err)
			}
		})
		for size := range b {
			if got, err := ReadSegmentHeader(b[:size:size]); !errors.Is(err, ErrBroken) {
				t.Errorf("%d bytes of %s: %+v, %v", size, name, got, err)
			}
		}
	}
}

func TestAnotherVersionIsNamed(t *testing.T) {
	t.Parallel()
	for _, version := range []uint32{0, Version + 1, 1 << 31} {
		b := SegmentHeader{First: 1}.Encode()
		binary.LittleEndian.PutUint32(b[8:], version)
		binary.LittleEndian.PutUint32(b[12:], 0)
		binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b, castagnoli))
		if _, err := ReadSegmentHeader(b); !errors.Is(err, ErrVersion) || errors.Is(err, ErrBroken) {
			t.Errorf("version %d: %v", version, err)
		}
	}
}
