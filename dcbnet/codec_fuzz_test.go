package dcbnet

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

// allocated returns the bytes that f allocates. Other goroutines may add to it.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// amplification bounds the memory for decoding a message, as a multiple of its size. An empty
// string in a list has two bytes, and takes 16 in memory, in a slice that doubles.
const amplification = 200

func FuzzReadRequests(f *testing.F) {
	for _, b := range goldenMessages() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var all []*request
		var err error
		if cost := allocated(func() { all, err = readRequestMessage(b) }); cost > uint64(len(b))*amplification+1<<20 {
			t.Errorf("decoding %d bytes allocated %d", len(b), cost)
		}
		if err != nil {
			return
		}
		for _, want := range all {
			if want.kind == 0 {
				continue
			}
			again, err := readRequestMessage(want.append(nil))
			if err != nil || len(again) != 1 {
				t.Fatalf("%d requests, %v", len(again), err)
			}
			if diff := cmp.Diff(want, again[0], sameMeaning...); diff != "" {
				t.Error(diff)
			}
		}
	})
}

func FuzzReadResponses(f *testing.F) {
	for _, b := range goldenMessages() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var all []response
		var err error
		if cost := allocated(func() { all, err = readResponseMessage(b) }); cost > uint64(len(b))*amplification+1<<20 {
			t.Errorf("decoding %d bytes allocated %d", len(b), cost)
		}
		if err != nil {
			return
		}
		for _, want := range all {
			if want.kind == 0 {
				continue
			}
			again, err := readResponseMessage(want.append(nil))
			if err != nil || len(again) != 1 {
				t.Fatalf("%d responses, %v", len(again), err)
			}
			if diff := cmp.Diff(want.append(nil), again[0].append(nil)); diff != "" && countMetadata(want.events) < 2 { // the order of maps is random
				t.Error(diff)
			}
		}
	})
}

func countMetadata(events []dcb.SequencedEvent) (most int) {
	for i := range events {
		most = max(most, len(events[i].Metadata))
	}
	return most
}

// schema contains the fields of a message that are messages themselves, each with its own schema.
type schema map[protowire.Number]schema

func number[K requestKind | responseKind](kind K) protowire.Number { return protowire.Number(kind) }

var (
	schemaQuery    = schema{1: {}}
	schemaEvents   = schema{1: {5: {}}}
	schemaRequests = schema{1: {
		number(helloRequest): {}, number(appendRequest): {1: {5: {}}, 2: schemaQuery}, number(readRequest): schemaQuery,
		number(headRequest): {}, number(waitRequest): {}, number(subscribeRequest): schemaQuery,
		number(cancelRequest): {}, number(creditRequest): {}, number(pingRequest): {},
	}}
	schemaResponses = schema{1: {
		number(welcomeResponse): {}, number(positionResponse): {}, number(eventsResponse): schemaEvents,
		number(errorResponse): {}, number(goAwayResponse): {}, number(pingResponse): {},
	}}
)

// shuffled reorders the fields of a message with schema s. The fields of a list keep their order.
func shuffled(random *rand.Rand, b []byte, s schema) []byte {
	fields := make(map[protowire.Number][][]byte)
	var order []protowire.Number
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		field := b[: n+size : n+size]
		if inner, isMessage := s[number]; isMessage {
			content, _ := protowire.ConsumeBytes(b[n:])
			field = protowire.AppendBytes(protowire.AppendTag(nil, number, kind), shuffled(random, content, inner))
		}
		fields[number] = append(fields[number], field)
		order = append(order, number)
		b = b[n+size:]
	}
	random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	out := unknownField(random)
	for _, number := range order {
		out = append(out, fields[number][0]...)
		fields[number] = fields[number][1:]
		out = append(out, unknownField(random)...)
	}
	return out
}

// unknownField returns a field of a random kind that no message has.
func unknownField(random *rand.Rand) []byte {
	number := protowire.Number(100 + random.IntN(1000))
	switch random.IntN(6) {
	case 0:
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), random.Uint64())
	case 1:
		return protowire.AppendFixed32(protowire.AppendTag(nil, number, protowire.Fixed32Type), random.Uint32())
	case 2:
		return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), random.Uint64())
	case 3:
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), make([]byte, random.IntN(20)))
	case 4: // a group with a field
		b := protowire.AppendTag(nil, number, protowire.StartGroupType)
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), 1)
		return protowire.AppendTag(b, number, protowire.EndGroupType)
	}
	return nil
}

func randomEvent(t *rapid.T) dcb.Event {
	e := dcb.Event{
		Type: rapid.String().Draw(t, "type"), Tags: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "tags"),
		Data: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data"), Metadata: rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, "metadata"),
	}
	if rapid.Bool().Draw(t, "has ID") {
		e.ID = uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "ID"))
	}
	return e
}

func randomQuery(t *rapid.T) dcb.Query {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) dcb.QueryItem {
		return dcb.QueryItem{Types: rapid.SliceOfN(rapid.String(), 0, 2).Draw(t, "types"), Tags: rapid.SliceOfN(rapid.String(), 0, 2).Draw(t, "tags")}
	}), 0, 3).Draw(t, "query")
}

func randomPosition(t *rapid.T, what string) dcb.Position {
	return dcb.Position(rapid.Uint64().Draw(t, what))
}

func randomRequest(t *rapid.T) request {
	r := request{id: rapid.Uint64().Draw(t, "id"), kind: rapid.SampledFrom([]requestKind{
		helloRequest, appendRequest, readRequest, headRequest, waitRequest, subscribeRequest, cancelRequest, creditRequest, pingRequest,
	}).Draw(t, "kind"), traceparent: rapid.String().Draw(t, "traceparent")}
	switch r.kind {
	case helloRequest:
		r.hello = hello{uint64(rapid.Uint32().Draw(t, "version")), rapid.String().Draw(t, "key"), rapid.String().Draw(t, "store")}
	case appendRequest:
		r.events = rapid.SliceOfN(rapid.Custom(randomEvent), 0, 3).Draw(t, "events")
		if rapid.Bool().Draw(t, "conditional") {
			r.condition = &dcb.AppendCondition{FailIfEventsMatch: randomQuery(t), After: randomPosition(t, "after")}
		}
	case readRequest:
		r.query, r.credit = randomQuery(t), rapid.Uint64().Draw(t, "credit")
		r.opts = dcb.ReadOptions{
			After: randomPosition(t, "after"), Before: randomPosition(t, "before"), Limit: rapid.IntRange(0, 1<<62).Draw(t, "limit"),
			Backwards: rapid.Bool().Draw(t, "backwards"),
		}
	case subscribeRequest:
		r.query, r.credit, r.opts.After = randomQuery(t), rapid.Uint64().Draw(t, "credit"), randomPosition(t, "after")
	case waitRequest:
		r.opts.After = randomPosition(t, "after")
	case creditRequest:
		r.credit = rapid.Uint64().Draw(t, "credit")
	default: // no fields
	}
	return r
}

func randomResponse(t *rapid.T) response {
	a := response{id: rapid.Uint64().Draw(t, "id"), kind: rapid.SampledFrom([]responseKind{
		welcomeResponse, positionResponse, eventsResponse, errorResponse, goAwayResponse, pingResponse,
	}).Draw(t, "kind")}
	switch a.kind {
	case welcomeResponse:
		a.welcome = welcome{rapid.Uint64().Draw(t, "calls"), rapid.Uint64().Draw(t, "bytes")}
	case positionResponse:
		a.position = randomPosition(t, "position")
	case eventsResponse:
		a.position, a.last, a.more = randomPosition(t, "head"), rapid.Bool().Draw(t, "last"), rapid.Bool().Draw(t, "more")
		for _, e := range rapid.SliceOfN(rapid.Custom(randomEvent), 0, 3).Draw(t, "events") {
			at := time.UnixMicro(rapid.Int64().Draw(t, "recorded at")).UTC()
			a.events = append(a.events, dcb.SequencedEvent{Event: e, Position: randomPosition(t, "position"), RecordedAt: at})
		}
	case errorResponse:
		text := func(what string) string { return rapid.String().Draw(t, what) }
		a.err = wire.Error{
			Code: wire.Code(text("code")), Text: text("text"), Field: text("field"), Problem: text("problem"),
			Limit: rapid.Int().Draw(t, "limit"), Position: randomPosition(t, "position"),
		}
	default: // no fields
	}
	return a
}
