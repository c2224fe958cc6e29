package logfile

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

var update = flag.Bool("update", false, "write the golden files, and with them another format")

const (
	goldenFirst  = dcb.Position(1_000_001)
	goldenTime   = int64(1_764_000_000_123_456)
	goldenBehind = uint32(3)
)

// alone, several and none are the appends of which the golden files have the frames.
var (
	alone   = []dcb.Event{{Type: "CourseRegistered", Tags: []string{"course:go"}, Data: []byte(`{"places":30}`)}}
	several = []dcb.Event{
		{
			Type: "StudentJoinedCourse", Tags: []string{"student:ann", "course:go", "student:ann"}, Data: []byte{0, 1, 255},
			ID: uuid.UUID{0: 1, 6: 0x70, 8: 0x80, 15: 15}, Metadata: map[string]string{"trace": "4bf92f35", "by": "web", "note": ""},
		},
		{Type: "T"}, // no tags, no data
		{Type: "Größe", Tags: []string{"größe:€"}, ID: uuid.Max},
		{Type: "Long", Data: bytes.Repeat([]byte("long "), 40)},
		{Type: "M", Metadata: map[string]string{"k": "v"}},
	}
	none []dcb.Event
)

// goldenSalt is what all frames of the tests are sealed with.
var (
	goldenID   = [16]byte(uuid.MustParse("6ba7b810-9dad-41d1-80b4-00c04fd430c8"))
	goldenSalt = SegmentHeader{StoreID: goldenID}.Salt()
)

func goldenSegments() map[string]SegmentHeader {
	return map[string]SegmentHeader{
		"first_segment": {StoreID: goldenID, First: 1, NotBefore: 0},
		"segment": {
			StoreID: goldenID, First: goldenFirst, NotBefore: goldenTime,
			PrevFirst: 500_001, PrevEnd: 67_000_000, PrevSum: 0xfedcba98,
		},
	}
}

func goldenFrames() map[string][]dcb.Event {
	return map[string][]dcb.Event{"alone": alone, "several": several, "mark": none}
}

// golden returns what the file in testdata has, in hexadecimal, after writing b to it, if there is a b and -update says so.
func golden(t testing.TB, name string, b []byte) []byte {
	t.Helper()
	name = filepath.Join("testdata", name+".hex")
	if *update && b != nil {
		var text strings.Builder
		for line := range chunks(hex.EncodeToString(b), 64) {
			text.WriteString(line + "\n")
		}
		if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return decoded
}

// chunks cuts text into pieces of size bytes, and a rest.
func chunks(text string, size int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > size {
			if !yield(text[:size]) {
				return
			}
			text = text[size:]
		}
		yield(text)
	}
}

func TestTheFormatOfFramesIsThatOfTheGoldenFiles(t *testing.T) {
	t.Parallel()
	for name, events := range goldenFrames() {
		written, _ := sealed(goldenFirst, goldenTime, goldenBehind, events...)
		if name == "mark" {
			written = ShutdownMarker(goldenSalt, goldenFirst, goldenTime)
		}
		kept := golden(t, name, written)
		if !bytes.Equal(written, kept) {
			t.Errorf("%s is written as\n%x\nand was written as\n%x", name, written, kept)
		}
		got, _, err := checked(kept)
		if diff := difference(recorded(goldenFirst, goldenTime, events...), got); err != nil || diff != "" {
			t.Errorf("%s: %v, %s", name, err, diff)
		}
		if h, _ := ReadRecordHeader(goldenSalt, kept); name == "mark" && h.Durable() != goldenFirst-1 {
			t.Errorf("the mark says that %d is durable; want %d", h.Durable(), goldenFirst-1)
		}
	}
}

func TestTheFormatOfSegmentsIsThatOfTheGoldenFiles(t *testing.T) {
	t.Parallel()
	for name, want := range goldenSegments() {
		written := want.Encode()
		kept := golden(t, name, written)
		if !bytes.Equal(written, kept) || len(written) != SegmentHeaderBytes {
			t.Errorf("%s is written as\n%x\nand was written as\n%x", name, written, kept)
		}
		if got, err := ReadSegmentHeader(kept); got != want || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
}
