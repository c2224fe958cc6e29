package logfile

import (
	"errors"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/dcbstore/dcb"
)

func TestTheSaltIsTheChecksumOfTheStoresID(t *testing.T) {
	t.Parallel()
	for name, s := range goldenSegments() {
		if got, want := s.Salt(), Salt(crc32.Checksum(s.StoreID[:], castagnoli)); got != want {
			t.Errorf("%s: %08x; want %08x", name, got, want)
		}
	}
}

func TestAFrameOfAnotherStoreIsBroken(t *testing.T) {
	t.Parallel()
	for name, events := range goldenFrames() {
		for _, salt := range []Salt{0, 1, goldenSalt ^ 1<<31, ^goldenSalt} {
			var d Encoder
			d.Encode(events)
			d.Seal(salt, goldenFirst, goldenTime, goldenBehind)
			if h, err := ReadRecordHeader(goldenSalt, d.Bytes); !errors.Is(err, ErrBroken) {
				t.Errorf("%s with salt %08x: Read: %+v, %v", name, salt, h, err)
			}
			segment := append(make([]byte, SegmentHeaderBytes), d.Bytes...)
			for i, at := range d.EntryOffsets {
				var e dcb.SequencedEvent
				position := goldenFirst + dcb.Position(i)
				if err := ReadEntry(goldenSalt, segment, SegmentHeaderBytes+at, position, &e); !errors.Is(err, ErrBroken) {
					t.Errorf("%s with salt %08x: CheckedView of event %d: %v", name, salt, i, err)
				}
				if err := ReadEntry(salt, segment, SegmentHeaderBytes+at, position, &e); err != nil {
					t.Errorf("%s with salt %08x, which is asked for: CheckedView of event %d: %v", name, salt, i, err)
				}
			}
			if len(events) < 2 {
				continue
			}
			seal(goldenSalt, d.Bytes, decode(d.Bytes)) // of this store, but for the records
			if _, _, err := checked(d.Bytes); !errors.Is(err, ErrBroken) {
				t.Errorf("%s with records with salt %08x: Check: %v", name, salt, err)
			}
		}
	}
}

func TestAFrameOfAnotherStoreThatATornFrameHasAsDataIsNoProof(t *testing.T) {
	t.Parallel()
	const lost = dcb.Position(5000) // the frame that begins with it is torn
	for name, c := range map[string]struct{ from, size int }{"short": {0, 0}, "long": {700, 9*sumBlock + 5}} {
		forge := func(salt Salt) []byte {
			var d Encoder
			d.Encode([]dcb.Event{long(c.size)})
			d.Seal(salt, lost+9, goldenTime, 0)
			return slices.Concat(make([]byte, c.from), d.Bytes, ShutdownMarker(salt, lost+1, goldenTime), make([]byte, 100))
		}
		for _, salt := range []Salt{0, 1, ^goldenSalt, goldenSalt} {
			data := forge(salt)
			torn, _ := sealed(lost, goldenTime, 2, dcb.Event{Type: "Copied", Data: data})
			torn[len(torn)-1] ^= 1
			at, found := FindProof(goldenSalt, torn, lost)
			switch want := len(torn) - len(data) + c.from; {
			case salt != goldenSalt && found:
				t.Errorf("%s: a frame with salt %08x is taken for a proof, at %d", name, salt, at)
			case salt == goldenSalt && (!found || at != want):
				t.Errorf("%s: with the right salt: at %d, %v; want %d", name, at, found, want)
			}
		}
	}
}
