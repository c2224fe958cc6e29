package dcbnet

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
	"github.com/dcbstore/dcb/dcbnet/internal/dcbv1"
	"github.com/dcbstore/dcb/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files")

// sameMeaning compares messages like the protocol, which does not distinguish nil from empty.
var sameMeaning = []cmp.Option{
	cmp.AllowUnexported(request{}, hello{}, response{}, welcome{}), cmpopts.EquateEmpty(), protocmp.Transform(),
	cmpopts.IgnoreFields(response{}, "bytes"),
}

// readRequestMessage returns the requests of a message.
func readRequestMessage(b []byte) (all []*request, err error) {
	err = readRequests(b, func(r *request) error {
		all = append(all, r)
		return nil
	})
	return all, err
}

// readResponseMessage returns the responses of a message.
func readResponseMessage(b []byte) (all []response, err error) {
	err = readResponses(b, func(a *response) { all = append(all, *a) })
	return all, err
}

func TestRequestAppendAndReadAgreeWithTheGeneratedCode(t *testing.T) {
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
			t.Fatalf("written by append, read by the generated code: %s", diff)
		}
		generated, err := proto.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		shuffled := shuffle(t, generated, schemaRequests)
		for name, message := range map[string][]byte{"in order": generated, "shuffled, with unknown fields": shuffled} {
			got, err := readRequestMessage(message)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for i := range want {
				if diff := cmp.Diff(&want[i], got[i], sameMeaning...); diff != "" {
					t.Fatalf("written by the generated code, %s: %s", name, diff)
				}
			}
		}
	})
}

func TestResponseAppendAndReadAgreeWithTheGeneratedCode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		want := rapid.SliceOfN(rapid.Custom(randomResponse), 0, 4).Draw(t, "responses")
		all := &dcbv1.Responses{}
		for i := range want {
			b = want[i].append(b)
			all.Responses = append(all.Responses, generatedResponse(&want[i]))
		}
		var decoded dcbv1.Responses
		if err := proto.Unmarshal(b, &decoded); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(all, &decoded, protocmp.Transform()); diff != "" {
			t.Fatalf("written by append, read by the generated code: %s", diff)
		}
		generated, err := proto.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		for name, message := range map[string][]byte{"in order": generated, "shuffled, with unknown fields": shuffle(t, generated, schemaResponses)} {
			got, err := readResponseMessage(message)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want, got, sameMeaning...); diff != "" {
				t.Fatalf("written by the generated code, %s: %s", name, diff)
			}
		}
	})
}

func TestAppendAndReadOfExtremeMessages(t *testing.T) {
	t.Parallel()
	most := dcb.Position(math.MaxUint64)
	for _, want := range []request{
		{id: 1, kind: appendRequest},
		{id: math.MaxUint64, kind: appendRequest, events: []dcb.Event{{}, {Data: []byte{}, Tags: []string{""}, Metadata: map[string]string{"": ""}}}},
		{kind: appendRequest, condition: &dcb.AppendCondition{}},
		{kind: appendRequest, condition: &dcb.AppendCondition{FailIfEventsMatch: dcb.All(), After: most}},
		{kind: readRequest, query: dcb.Query{{}, {Types: []string{""}}}, opts: dcb.ReadOptions{After: most, Before: most, Limit: 1 << 62, Backwards: true}, credit: math.MaxUint64},
		// Lengths around the number of bytes that their own length needs.
		{kind: appendRequest, events: []dcb.Event{{Data: make([]byte, 123)}, {Data: make([]byte, 124)}, {Data: make([]byte, 125)}, {Data: make([]byte, 126)}}},
		{kind: appendRequest, events: []dcb.Event{{Data: make([]byte, 1<<14-4)}, {Data: make([]byte, 1<<14-3)}, {Data: make([]byte, 1<<14)}}},
	} {
		got, err := readRequestMessage(want.append(nil))
		if err != nil || len(got) != 1 {
			t.Fatalf("%d requests, %v", len(got), err)
		}
		if diff := cmp.Diff(&want, got[0], sameMeaning...); diff != "" {
			t.Error(diff)
		}
	}
	for _, want := range []response{
		{kind: eventsResponse, last: true, more: true, position: most},
		{kind: eventsResponse, events: []dcb.SequencedEvent{{Position: most, RecordedAt: time.Time{}}, {RecordedAt: time.Unix(0, 0).UTC()}}},
		{kind: errorResponse, err: wire.Error{Limit: -1, Position: math.MaxUint64}},
	} {
		got, err := readResponseMessage(want.append(nil))
		if err != nil || len(got) != 1 {
			t.Fatalf("%d responses, %v", len(got), err)
		}
		if diff := cmp.Diff(want, got[0], sameMeaning...); diff != "" {
			t.Error(diff)
		}
	}
	large := request{kind: appendRequest, events: []dcb.Event{{Type: "T", Data: bytes.Repeat([]byte("x"), dcb.MaxDataBytes), ID: uuid.Max}}}
	got, err := readRequestMessage(large.append(nil))
	if err != nil || !bytes.Equal(got[0].events[0].Data, large.events[0].Data) || got[0].events[0].ID != uuid.Max {
		t.Errorf("an event with the maximum data: %v", err)
	}
}

// goldenMessages contains each request and each response, and each field at least once.
func goldenMessages() map[string][]byte {
	event := dcb.Event{
		Type: "StudentJoinedCourse", Tags: []string{"student:1", "course:2"}, Data: []byte{0, 0xff}, ID: uuid.UUID{15: 7},
		Metadata: map[string]string{"by": "ann"},
	}
	query := dcb.Query{{Types: []string{"A", "B"}, Tags: []string{"t"}}, {}}
	messages := make(map[string][]byte)
	for name, r := range map[string]request{
		"hello":     {id: 1, kind: helloRequest, hello: hello{version: 1, key: "the key", store: "the store"}},
		"append":    {id: 2, kind: appendRequest, events: []dcb.Event{event, {Type: "T"}}, condition: &dcb.AppendCondition{FailIfEventsMatch: query, After: 300}},
		"read":      {id: 3, kind: readRequest, query: query, opts: dcb.ReadOptions{After: 1, Before: 2, Limit: 3, Backwards: true}, credit: 1 << 20},
		"head":      {id: 4, kind: headRequest, traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		"wait":      {id: 5, kind: waitRequest, opts: dcb.ReadOptions{After: 5}},
		"subscribe": {id: 6, kind: subscribeRequest, query: query, opts: dcb.ReadOptions{After: 6}, credit: 1},
		"cancel":    {id: 7, kind: cancelRequest},
		"ping":      {kind: pingRequest},
		"credit":    {id: 8, kind: creditRequest, credit: 1 << 40},
	} {
		messages[name] = r.append(nil)
	}
	recorded := []dcb.SequencedEvent{{Event: event, Position: 9, RecordedAt: time.UnixMicro(1_700_000_000_000_001).UTC()}}
	for name, a := range map[string]response{
		"welcome":  {id: 1, kind: welcomeResponse, welcome: welcome{4096, 80 << 20}},
		"position": {id: 2, kind: positionResponse, position: 1 << 33},
		"events":   {id: 3, kind: eventsResponse, events: recorded, position: 10, last: true, more: true},
		"error":    {id: 4, kind: errorResponse, err: wire.Error{Code: "conflict", Text: "t", Field: "f", Problem: "p", Limit: 5, Position: 6}},
		"goaway":   {kind: goAwayResponse},
		"pong":     {kind: pingResponse},
	} {
		messages[name] = a.append(nil)
	}
	return messages
}

func TestAppendWritesTheGoldenBytes(t *testing.T) {
	t.Parallel()
	for name, got := range goldenMessages() {
		file := filepath.Join("testdata", "messages", name)
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
			t.Errorf("%s =\n%x, want\n%x", name, got, want)
		}
	}
}

func TestReadRequestsRefusesMalformedMessages(t *testing.T) {
	t.Parallel()
	whole := (&request{id: 1, kind: appendRequest, events: []dcb.Event{{Type: "T", ID: uuid.Max}}}).append(nil)
	twoCalls := protowire.AppendTag(nil, fieldElement, protowire.BytesType)
	twoCalls = protowire.AppendBytes(twoCalls, []byte{byte(headRequest)<<3 | 2, 0, byte(cancelRequest)<<3 | 2, 0})
	shortID := bytes.Replace(whole, append([]byte{4<<3 | 2, 16}, uuid.Max[:]...), append([]byte{4<<3 | 2, 15, 9<<3 | 2, 0}, uuid.Max[:14]...), 1)
	for name, b := range map[string][]byte{
		"truncated":                whole[:len(whole)-1],
		"length beyond the end":    {fieldElement<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"length without an end":    bytes.Repeat([]byte{0x8a}, 30),
		"field number 0":           {0x02, 0x00},
		"group that is not closed": {fieldElement<<3 | 3},
		"two calls in one request": twoCalls,
		"ID of 15 bytes":           shortID,
	} {
		if all, err := readRequestMessage(b); err == nil {
			t.Errorf("%s: readRequests returned %d requests and no error", name, len(all))
		} else if err = malformed(err); !strings.Contains(err.Error(), "message") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The other side may be of a newer version.
func TestReadOfUnknownKinds(t *testing.T) {
	t.Parallel()
	strange := protowire.AppendTag(nil, fieldElement, protowire.BytesType)
	strange = protowire.AppendBytes(strange, []byte{fieldID << 3, 9, 14<<3 | 2, 1, 0})
	requests, err := readRequestMessage(strange)
	if err != nil || len(requests) != 1 || requests[0].kind != 0 || requests[0].id != 9 {
		t.Errorf("%v, %v", requests, err)
	}
	responses, err := readResponseMessage(strange)
	if err != nil || len(responses) != 1 || responses[0].kind != 0 || responses[0].id != 9 {
		t.Errorf("%v, %v", responses, err)
	}
}

// A list far above its limit is refused like one that is just above it, and must not cost more
// memory.
func TestReadRequestsStopsOneAboveTheLimits(t *testing.T) {
	t.Parallel()
	many := bytes.Repeat([]byte{1<<3 | 2, 0}, 1<<20)
	for _, kind := range []requestKind{appendRequest, readRequest} {
		call := protowire.AppendBytes(protowire.AppendTag(nil, number(kind), protowire.BytesType), many)
		b := protowire.AppendBytes(protowire.AppendTag(nil, fieldElement, protowire.BytesType), call)
		all, err := readRequestMessage(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := max(len(all[0].events)-dcb.MaxEvents, len(all[0].query)-dcb.MaxQueryItems); got != 1 {
			t.Errorf("%d elements above the limit were read, want 1", got)
		}
	}
}

// shuffle reorders the fields of a message and of the messages in it where that does not change
// its meaning, and adds unknown fields.
func shuffle(t *rapid.T, b []byte, s schema) []byte {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	return shuffled(random, b, s)
}
