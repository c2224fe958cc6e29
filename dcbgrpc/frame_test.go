package dcbgrpc

import (
	"bytes"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/proto/dcbv1"
)

var update = flag.Bool("update", false, "write the golden frames anew")

// sameMeaning takes nothing for the same as an empty one, as the wire does.
var sameMeaning = []cmp.Option{
	cmp.AllowUnexported(request{}, hello{}, answer{}, welcome{}), cmpopts.EquateEmpty(), protocmp.Transform(), cmpopts.IgnoreFields(answer{}, "bytes"),
}

// readFrame reads a frame of requests.
func readFrame(b []byte) (all []*request, err error) {
	err = readRequests(&frame{&b}, func(r *request) error {
		all = append(all, r)
		return nil
	})
	return all, err
}

func readAnswerFrame(b []byte) (all []answer, err error) {
	err = readAnswers(&frame{&b}, func(a *answer) { all = append(all, *a) })
	return all, err
}

func TestRequestsAreWhatTheGeneratedCodeReadsAndWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		want := rapid.SliceOfN(rapid.Custom(randomRequest), 0, 4).Draw(t, "requests")
		all := &dcbv1.Requests{}
		for i := range want {
			b = want[i].append(b)
			all.Requests = append(all.Requests, generatedRequest(&want[i]))
		}
		var decoded dcbv1.Requests
		if err := proto.Unmarshal(b, &decoded); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(all, &decoded, protocmp.Transform()); diff != "" {
			t.Fatalf("ours, read by the generated code: %s", diff)
		}
		theirs, err := proto.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		shuffled := shuffle(t, theirs, schemaRequests)
		for name, frame := range map[string][]byte{"in order": theirs, "shuffled, with unknown fields": shuffled} {
			got, err := readFrame(frame)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for i := range want {
				if diff := cmp.Diff(&want[i], got[i], sameMeaning...); diff != "" {
					t.Fatalf("%s, read by ours: %s", name, diff)
				}
			}
		}
	})
}

func TestAnswersAreWhatTheGeneratedCodeReadsAndWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		want := rapid.SliceOfN(rapid.Custom(randomAnswer), 0, 4).Draw(t, "answers")
		all := &dcbv1.Answers{}
		for i := range want {
			b = want[i].append(b)
			all.Answers = append(all.Answers, generatedAnswer(&want[i]))
		}
		var decoded dcbv1.Answers
		if err := proto.Unmarshal(b, &decoded); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(all, &decoded, protocmp.Transform()); diff != "" {
			t.Fatalf("ours, read by the generated code: %s", diff)
		}
		theirs, err := proto.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		for name, frame := range map[string][]byte{"in order": theirs, "shuffled, with unknown fields": shuffle(t, theirs, schemaAnswers)} {
			got, err := readAnswerFrame(frame)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want, got, sameMeaning...); diff != "" {
				t.Fatalf("%s, read by ours: %s", name, diff)
			}
		}
	})
}

// The extremes: what has nothing in it, and what is as large as a number can be.
func TestTheLeastAndTheMostCrossTheWire(t *testing.T) {
	t.Parallel()
	most := dcb.Position(math.MaxUint64)
	for _, want := range []request{
		{id: 1, kind: fieldAppend},
		{id: math.MaxUint64, kind: fieldAppend, events: []dcb.Event{{}, {Data: []byte{}, Tags: []string{""}, Metadata: map[string]string{"": ""}}}},
		{kind: fieldAppend, condition: &dcb.AppendCondition{}},
		{kind: fieldAppend, condition: &dcb.AppendCondition{FailIfEventsMatch: dcb.All(), After: most}},
		{kind: fieldRead, query: dcb.Query{{}, {Types: []string{""}}}, opts: dcb.ReadOptions{After: most, Before: most, Limit: 1 << 62, Backwards: true}, window: math.MaxUint64},
		// As long as one byte more of the length needs, and a byte less.
		{kind: fieldAppend, events: []dcb.Event{{Data: make([]byte, 123)}, {Data: make([]byte, 124)}, {Data: make([]byte, 125)}, {Data: make([]byte, 126)}}},
		{kind: fieldAppend, events: []dcb.Event{{Data: make([]byte, 1<<14-4)}, {Data: make([]byte, 1<<14-3)}, {Data: make([]byte, 1<<14)}}},
	} {
		got, err := readFrame(want.append(nil))
		if err != nil || len(got) != 1 {
			t.Fatalf("%d requests, %v", len(got), err)
		}
		if diff := cmp.Diff(&want, got[0], sameMeaning...); diff != "" {
			t.Error(diff)
		}
	}
	for _, want := range []answer{
		{kind: fieldEvents, last: true, more: true, position: most},
		{kind: fieldEvents, events: []dcb.SequencedEvent{{Position: most, RecordedAt: time.Time{}}, {RecordedAt: time.Unix(0, 0).UTC()}}},
		{kind: fieldError, err: &dcbv1.Error{Limit: -1, Position: math.MaxUint64}},
	} {
		got, err := readAnswerFrame(want.append(nil))
		if err != nil || len(got) != 1 {
			t.Fatalf("%d answers, %v", len(got), err)
		}
		if diff := cmp.Diff(want, got[0], sameMeaning...); diff != "" {
			t.Error(diff)
		}
	}
	large := request{kind: fieldAppend, events: []dcb.Event{{Type: "T", Data: bytes.Repeat([]byte("x"), dcb.MaxDataBytes), ID: uuid.Max}}}
	got, err := readFrame(large.append(nil))
	if err != nil || !bytes.Equal(got[0].events[0].Data, large.events[0].Data) || got[0].events[0].ID != uuid.Max {
		t.Errorf("the most data that an event may have: %v", err)
	}
}

// goldenFrames has one of each message, and every field in one of them.
func goldenFrames() map[string][]byte {
	event := dcb.Event{
		Type: "StudentJoinedCourse", Tags: []string{"student:1", "course:2"}, Data: []byte{0, 0xff}, ID: uuid.UUID{15: 7},
		Metadata: map[string]string{"by": "ann"},
	}
	query := dcb.Query{{Types: []string{"A", "B"}, Tags: []string{"t"}}, {}}
	frames := make(map[string][]byte)
	for name, r := range map[string]request{
		"hello":     {id: 1, kind: fieldHello, hello: hello{version: 1, key: "the key", store: "the store"}},
		"append":    {id: 2, kind: fieldAppend, events: []dcb.Event{event, {Type: "T"}}, condition: &dcb.AppendCondition{FailIfEventsMatch: query, After: 300}},
		"read":      {id: 3, kind: fieldRead, query: query, opts: dcb.ReadOptions{After: 1, Before: 2, Limit: 3, Backwards: true}, window: 1 << 20},
		"head":      {id: 4, kind: fieldHead, traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		"wait":      {id: 5, kind: fieldWait, opts: dcb.ReadOptions{After: 5}},
		"subscribe": {id: 6, kind: fieldSubscribe, query: query, opts: dcb.ReadOptions{After: 6}, window: 1},
		"cancel":    {id: 7, kind: fieldCancel},
		"grant":     {id: 8, kind: fieldGrant, window: 1 << 40},
	} {
		frames[name] = r.append(nil)
	}
	recorded := []dcb.SequencedEvent{{Event: event, Position: 9, RecordedAt: time.UnixMicro(1_700_000_000_000_001).UTC()}}
	for name, a := range map[string]answer{
		"welcome":  {id: 1, kind: fieldWelcome, welcome: welcome{4096, 80 << 20}},
		"position": {id: 2, kind: fieldPosition, position: 1 << 33},
		"events":   {id: 3, kind: fieldEvents, events: recorded, position: 10, last: true},
		"error":    {id: 4, kind: fieldError, err: &dcbv1.Error{Code: "conflict", Text: "t", Field: "f", Problem: "p", Limit: 5, Position: 6}},
		"farewell": {kind: fieldFarewell},
	} {
		frames[name] = a.append(nil)
	}
	return frames
}

func TestFramesAreTheBytesThatTheyEverWere(t *testing.T) {
	t.Parallel()
	for name, got := range goldenFrames() {
		file := filepath.Join("testdata", "frames", name)
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is\n%x, want\n%x", name, got, want)
		}
	}
}

func TestFramesThatBreakTheEncodingAreRefused(t *testing.T) {
	t.Parallel()
	whole := (&request{id: 1, kind: fieldAppend, events: []dcb.Event{{Type: "T", ID: uuid.Max}}}).append(nil)
	twoCalls := protowire.AppendTag(nil, fieldPart, protowire.BytesType)
	twoCalls = protowire.AppendBytes(twoCalls, []byte{fieldHead<<3 | 2, 0, fieldCancel<<3 | 2, 0})
	shortID := bytes.Replace(whole, append([]byte{4<<3 | 2, 16}, uuid.Max[:]...), append([]byte{4<<3 | 2, 15, 9<<3 | 2, 0}, uuid.Max[:14]...), 1)
	for name, b := range map[string][]byte{
		"cut short":                  whole[:len(whole)-1],
		"a length beyond the end":    {fieldPart<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"a length that has no end":   bytes.Repeat([]byte{0x8a}, 30),
		"a field with the number 0":  {0x02, 0x00},
		"a group that is not closed": {fieldPart<<3 | 3},
		"two calls in one request":   twoCalls,
		"an ID of 15 bytes":          shortID,
	} {
		if all, err := readFrame(b); err == nil {
			t.Errorf("%s: read as %d requests", name, len(all))
		} else if err = malformed(err); !strings.Contains(err.Error(), "message") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Peers may know of more than we do.
func TestUnknownCallsAndAnswersAreKeptApart(t *testing.T) {
	t.Parallel()
	strange := protowire.AppendTag(nil, fieldPart, protowire.BytesType)
	strange = protowire.AppendBytes(strange, []byte{fieldID << 3, 9, 14<<3 | 2, 1, 0})
	requests, err := readFrame(strange)
	if err != nil || len(requests) != 1 || requests[0].kind != 0 || requests[0].id != 9 {
		t.Errorf("%v, %v", requests, err)
	}
	answers, err := readAnswerFrame(strange)
	if err != nil || len(answers) != 1 || answers[0].kind != 0 || answers[0].id != 9 {
		t.Errorf("%v, %v", answers, err)
	}
}

// More events and items than an append may have are as wrong as one more, and cost no more memory.
func TestHugeCountsInSmallFramesCostNoMore(t *testing.T) {
	t.Parallel()
	many := bytes.Repeat([]byte{1<<3 | 2, 0}, 1<<20)
	for _, kind := range []protowire.Number{fieldAppend, fieldRead} {
		call := protowire.AppendBytes(protowire.AppendTag(nil, kind, protowire.BytesType), many)
		b := protowire.AppendBytes(protowire.AppendTag(nil, fieldPart, protowire.BytesType), call)
		all, err := readFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := max(len(all[0].events)-dcb.MaxEvents, len(all[0].query)-dcb.MaxQueryItems); got != 1 {
			t.Errorf("%d more than the limit were read, want 1", got)
		}
	}
}

// shuffle orders the fields of a message and of those in it anew, where that does not change what it says, and adds unknown ones.
func shuffle(t *rapid.T, b []byte, s schema) []byte {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	return shuffled(random, b, s)
}
