package umadb

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// fill appends n events of the types A and B in turn, with the tag t.
func fill(t testing.TB, store dcb.Store, n int) {
	t.Helper()
	events := make([]dcb.Event, n)
	for i := range events {
		events[i] = dcb.Event{Type: []string{"A", "B"}[i%2], Tags: []string{"t"}, Data: []byte("data")}
	}
	if _, err := store.Append(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
}

func TestServiceRead(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	rpc := serve(t, store, ServerOptions{}).raw(t)
	fill(t, store, 10)
	onlyB := &umadbv1.Query{Items: []*umadbv1.QueryItem{{Types: []string{"B"}}}}
	nothing := &umadbv1.Query{Items: []*umadbv1.QueryItem{{Types: []string{"X"}}}}
	all := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	for _, test := range []struct {
		name    string
		request *umadbv1.ReadRequest
		want    []shape
	}{
		{"no query matches everything", &umadbv1.ReadRequest{}, []shape{{all, 10}}},
		{"no items match everything", &umadbv1.ReadRequest{Query: &umadbv1.Query{}}, []shape{{all, 10}}},
		{"an empty item matches everything", &umadbv1.ReadRequest{Query: &umadbv1.Query{Items: []*umadbv1.QueryItem{{}}}}, []shape{{all, 10}}},
		{"a query", &umadbv1.ReadRequest{Query: onlyB}, []shape{{[]uint64{2, 4, 6, 8, 10}, 10}}},
		{"no match has the head", &umadbv1.ReadRequest{Query: nothing}, []shape{{nil, 10}}},
		{"no match with a limit has no head", &umadbv1.ReadRequest{Query: nothing, Limit: new(uint32(3))}, []shape{{nil, 0}}},
		{"limit", &umadbv1.ReadRequest{Limit: new(uint32(3))}, []shape{{[]uint64{1, 2, 3}, 3}}},
		{"limit 0 has no message", &umadbv1.ReadRequest{Limit: new(uint32(0))}, nil},
		{"limit above the number of events", &umadbv1.ReadRequest{Limit: new(uint32(math.MaxUint32))}, []shape{{all, 10}}},
		{"start", &umadbv1.ReadRequest{Start: new(uint64(9))}, []shape{{[]uint64{9, 10}, 10}}},
		{"start 0", &umadbv1.ReadRequest{Start: new(uint64(0)), Limit: new(uint32(1))}, []shape{{[]uint64{1}, 1}}},
		{"start above the head", &umadbv1.ReadRequest{Start: new(uint64(400))}, []shape{{nil, 10}}},
		{"start at the highest position", &umadbv1.ReadRequest{Start: new(uint64(math.MaxUint64))}, []shape{{nil, 10}}},
		{"backwards", &umadbv1.ReadRequest{Backwards: new(true)}, []shape{{backwards, 10}}},
		{"backwards with limit", &umadbv1.ReadRequest{Backwards: new(true), Limit: new(uint32(2))}, []shape{{[]uint64{10, 9}, 9}}},
		{"backwards with start", &umadbv1.ReadRequest{Backwards: new(true), Start: new(uint64(2))}, []shape{{[]uint64{2, 1}, 10}}},
		{"backwards with start 0", &umadbv1.ReadRequest{Backwards: new(true), Start: new(uint64(0))}, []shape{{nil, 10}}},
		{"backwards with start above the head", &umadbv1.ReadRequest{Backwards: new(true), Start: new(uint64(400)), Limit: new(uint32(1))}, []shape{{[]uint64{10}, 10}}},
		{
			"backwards with start at the highest position",
			&umadbv1.ReadRequest{Backwards: new(true), Start: new(uint64(math.MaxUint64)), Limit: new(uint32(1))},
			[]shape{{[]uint64{10}, 10}},
		},
		{
			"batch size", &umadbv1.ReadRequest{BatchSize: new(uint32(4))},
			[]shape{{all[:4], 10}, {all[4:8], 10}, {all[8:], 10}},
		},
		{
			"batch size with limit", &umadbv1.ReadRequest{BatchSize: new(uint32(2)), Limit: new(uint32(5))},
			[]shape{{all[:2], 2}, {all[2:4], 4}, {all[4:5], 5}},
		},
		{"full last message", &umadbv1.ReadRequest{BatchSize: new(uint32(5))}, []shape{{all[:5], 10}, {all[5:], 10}}},
		{"batch size 0 is 1", &umadbv1.ReadRequest{BatchSize: new(uint32(0)), Start: new(uint64(9))}, []shape{{all[8:9], 10}, {all[9:], 10}}},
		{"subscribe is false", &umadbv1.ReadRequest{Subscribe: new(false), Start: new(uint64(10))}, []shape{{all[9:], 10}}}, //nolint:staticcheck // deprecated in the protocol
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stream, err := rpc.Read(t.Context(), test.request)
			if diff := cmp.Diff(test.want, shapes(messages(t, stream, err))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestServiceReadAndHeadOfAnEmptyStore(t *testing.T) {
	t.Parallel()
	rpc := serve(t, memstore.New(nil), ServerOptions{}).raw(t)
	for _, request := range []*umadbv1.ReadRequest{{}, {Limit: new(uint32(3))}, {Backwards: new(true)}} {
		stream, err := rpc.Read(t.Context(), request)
		all := messages(t, stream, err)
		if len(all) != 1 || all[0].Head != nil || len(all[0].Events) != 0 {
			t.Errorf("Read = %v, want one empty message", all)
		}
	}
	head, err := rpc.Head(t.Context(), &umadbv1.HeadRequest{})
	if err != nil || head.Position != nil {
		t.Errorf("Head = %v, %v; want no position", head, err)
	}
}

func TestServiceReadBatchSizes(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	rpc := serve(t, store, ServerOptions{}).raw(t)
	fill(t, store, 10_000)
	for _, test := range []struct {
		size *uint32
		want []int
	}{
		{nil, []int{1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 784}},
		{new(uint32(math.MaxUint32)), []int{4096, 4096, 1808}},
	} {
		for _, isBackwards := range []bool{false, true} {
			stream, err := rpc.Read(t.Context(), &umadbv1.ReadRequest{BatchSize: test.size, Backwards: &isBackwards})
			var got []int
			next := uint64(1)
			for _, m := range messages(t, stream, err) {
				got = append(got, len(m.Events))
				if m.GetHead() != 10_000 {
					t.Errorf("head %d, want 10000", m.GetHead())
				}
				for _, e := range m.Events {
					if want := next; !isBackwards && e.Position != want || isBackwards && e.Position != 10_001-want {
						t.Fatalf("event %[2]d has position %[1]d, backwards %[3]v", e.Position, want, isBackwards)
					}
					next++
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("messages with %v events, want %v", got, test.want)
			}
		}
	}
}

func TestServiceReadKeepsMessagesBelowTheLimitOfReceivers(t *testing.T) {
	t.Parallel()
	const limit = 4 << 20 // the default of gRPC's receivers
	store := memstore.New(nil)
	rpc := serve(t, store, ServerOptions{}).raw(t)
	var sizes []int
	for range 20 {
		sizes = append(sizes, 300<<10)
	}
	sizes = append(sizes, 3<<20, 3<<20, 1, 6<<20, 1)
	for _, size := range sizes {
		if _, err := store.Append(t.Context(), []dcb.Event{{Type: "T", Data: make([]byte, size)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := rpc.Read(t.Context(), &umadbv1.ReadRequest{})
	got := 0
	for _, m := range messages(t, stream, err) {
		if size := proto.Size(m); size > limit && len(m.Events) > 1 {
			t.Errorf("a message of %d events has %d bytes", len(m.Events), size)
		}
		for _, e := range m.Events {
			if len(e.Event.Data) != sizes[got] {
				t.Fatalf("event %d has %d bytes of data, want %d", got, len(e.Event.Data), sizes[got])
			}
			got++
		}
	}
	if got != len(sizes) {
		t.Errorf("%d events, want %d", got, len(sizes))
	}
}

func TestServiceReadEndsAtItsFirstHead(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	rpc := serve(t, store, ServerOptions{}).raw(t)
	fill(t, store, 5_000)
	stream, err := rpc.Read(t.Context(), &umadbv1.ReadRequest{BatchSize: new(uint32(1))})
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	fill(t, store, 1_000)
	count := 1
	for _, m := range messages(t, stream, nil) {
		count += len(m.Events)
		if m.GetHead() != first.GetHead() {
			t.Fatalf("the head changed from %d to %d", first.GetHead(), m.GetHead())
		}
	}
	if uint64(count) != first.GetHead() {
		t.Errorf("%d events with head %d", count, first.GetHead())
	}
}

func TestServiceReadReturnsEventsAsAppended(t *testing.T) {
	t.Parallel()
	forEachKind(t, func(t *testing.T, store dcb.Store) {
		rpc := serve(t, store, ServerOptions{}).raw(t)
		sent := []*umadbv1.Event{
			{EventType: "Bare"},
			{
				EventType: "Full", Tags: []string{"a", "ü"}, Data: []byte{0, 255, 10}, Uuid: uuid.NewString(),
				Metadata: []*umadbv1.MetadataEntry{{Key: "a", Value: "1"}, {Key: "b"}, {Key: "c", Value: strings.Repeat("x", 300)}},
			},
		}
		response, err := rpc.Append(t.Context(), &umadbv1.AppendRequest{Events: sent})
		if err != nil || response.GetPosition() != 2 {
			t.Fatalf("Append = %d, %v; want 2", response.GetPosition(), err)
		}
		stream, err := rpc.Read(t.Context(), &umadbv1.ReadRequest{})
		for i, got := range messages(t, stream, err)[0].Events {
			if diff := cmp.Diff(sent[i], got.Event, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if got.RecordedAt < time.Now().Add(-time.Hour).UnixMicro() {
				t.Errorf("recorded_at is %d", got.RecordedAt)
			}
			if got.TrackingInfo != nil {
				t.Error("the event has a tracking_info")
			}
		}
	})
}

func TestServiceAppendAcceptsEveryFormOfUUID(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	rpc := serve(t, store, ServerOptions{}).raw(t)
	for _, test := range []struct{ sent, want string }{
		{"", ""},
		{"00000000-0000-0000-0000-000000000000", ""},
		{"123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"},
		{"223E4567-E89B-12D3-A456-426614174000", "223e4567-e89b-12d3-a456-426614174000"},
		{"{323e4567-e89b-12d3-a456-426614174000}", "323e4567-e89b-12d3-a456-426614174000"},
		{"423e4567e89b12d3a456426614174000", "423e4567-e89b-12d3-a456-426614174000"},
	} {
		response, err := rpc.Append(t.Context(), &umadbv1.AppendRequest{Events: []*umadbv1.Event{{EventType: "T", Uuid: test.sent}}})
		if err != nil {
			t.Fatal(err)
		}
		stream, err := rpc.Read(t.Context(), &umadbv1.ReadRequest{Start: new(response.GetPosition())})
		if got := messages(t, stream, err)[0].Events[0].Event.Uuid; got != test.want {
			t.Errorf("uuid %q was read as %q, want %q", test.sent, got, test.want)
		}
	}
}

func TestServiceAppendWithCondition(t *testing.T) {
	t.Parallel()
	forEachKind(t, func(t *testing.T, store dcb.Store) {
		rpc := serve(t, store, ServerOptions{}).raw(t)
		fill(t, store, 3)
		typeB := &umadbv1.Query{Items: []*umadbv1.QueryItem{{Types: []string{"B"}}}}
		typeX := &umadbv1.Query{Items: []*umadbv1.QueryItem{{Types: []string{"X"}}}}
		event := []*umadbv1.Event{newEvent("A", "t")}
		for _, test := range []struct {
			name       string
			request    *umadbv1.AppendRequest
			want       uint64 // position
			conflictAt uint64
		}{
			{"no events, no condition", &umadbv1.AppendRequest{}, 0, 0},
			{"no events, condition holds", &umadbv1.AppendRequest{Condition: &umadbv1.AppendCondition{FailIfEventsMatch: typeX}}, 0, 0},
			{"no events, condition fails", &umadbv1.AppendRequest{Condition: &umadbv1.AppendCondition{FailIfEventsMatch: typeB}}, 0, 2},
			{"fails", &umadbv1.AppendRequest{Events: event, Condition: &umadbv1.AppendCondition{FailIfEventsMatch: typeB}}, 0, 2},
			{"fails after a position", &umadbv1.AppendRequest{Events: event, Condition: &umadbv1.AppendCondition{FailIfEventsMatch: typeB, After: new(uint64(1))}}, 0, 2},
			{"holds after a position", &umadbv1.AppendRequest{Events: event, Condition: &umadbv1.AppendCondition{FailIfEventsMatch: typeB, After: new(uint64(2))}}, 4, 0},
			{"no items match everything", &umadbv1.AppendRequest{Events: event, Condition: &umadbv1.AppendCondition{After: new(uint64(3))}}, 0, 4},
			{"after the highest position", &umadbv1.AppendRequest{Events: event, Condition: &umadbv1.AppendCondition{After: new(uint64(math.MaxUint64))}}, 5, 0},
		} {
			var trailer metadata.MD
			response, err := rpc.Append(t.Context(), test.request, grpc.Trailer(&trailer))
			if test.conflictAt > 0 {
				detail := wantError(t, err, trailer, codes.FailedPrecondition, umadbv1.ErrorResponse_INTEGRITY)
				if got := detail.GetDcb().GetPosition(); got != test.conflictAt {
					t.Errorf("%s: conflict at %d, want %d", test.name, got, test.conflictAt)
				}
				continue
			}
			if err != nil || response.GetPosition() != test.want {
				t.Errorf("%s: Append = %d, %v; want %d", test.name, response.GetPosition(), err, test.want)
			}
		}
		head, err := rpc.Head(t.Context(), &umadbv1.HeadRequest{})
		if err != nil || head.GetPosition() != 5 {
			t.Errorf("Head = %d, %v; want 5", head.GetPosition(), err)
		}
	})
}

func TestServiceRefusesInvalidRequests(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	rpc := serve(t, store, ServerOptions{}).raw(t)
	events := func(e *umadbv1.Event) *umadbv1.AppendRequest {
		return &umadbv1.AppendRequest{Events: []*umadbv1.Event{newEvent("T"), e}}
	}
	tooManyTags := make([]string, dcb.MaxTags)
	for i := range tooManyTags {
		tooManyTags[i] = fmt.Sprint(i)
	}
	tooManyEntries := make([]*umadbv1.MetadataEntry, dcb.MaxMetadata)
	for i := range tooManyEntries {
		tooManyEntries[i] = &umadbv1.MetadataEntry{Key: fmt.Sprint(100 - i)}
	}
	secret := "the data of an event"
	for _, test := range []struct {
		name, field string
		request     proto.Message
	}{
		{"malformed uuid", "events[1].uuid", events(&umadbv1.Event{EventType: "T", Uuid: "nonsense", Data: []byte(secret)})},
		{"duplicate metadata key", "events[1].metadata[1].key", events(&umadbv1.Event{EventType: "T", Metadata: []*umadbv1.MetadataEntry{{Key: "k"}, {Key: "k"}}})},
		{"reserved key of the order", "events[1].metadata[0].key", events(&umadbv1.Event{EventType: "T", Metadata: []*umadbv1.MetadataEntry{{Key: orderKey}}})},
		{"no space for the order of metadata", "events[1].metadata", events(&umadbv1.Event{EventType: "T", Metadata: tooManyEntries})},
		{"no type", "events[1].Type", events(&umadbv1.Event{})},
		{"empty tag", "events[1].Tags[0]", events(newEvent("T", ""))},
		{"NUL in a type", "events[1].Type", events(newEvent("T\x00"))},
		{"reserved tag", "events[1].tags[1]", events(newEvent("T", "a", "dcb:tracking:s"))},
		{"reserved metadata key", "events[1].metadata[0].key", events(&umadbv1.Event{EventType: "T", Metadata: []*umadbv1.MetadataEntry{{Key: "dcb:tracking"}}})},
		{"reserved tag in a condition", "query.items[0].tags[0]", &umadbv1.AppendRequest{Condition: &umadbv1.AppendCondition{
			FailIfEventsMatch: &umadbv1.Query{Items: []*umadbv1.QueryItem{{Tags: []string{"dcb:tracking:s"}}}},
		}}},
		{"reserved tag in a query", "query.items[0].tags[0]", &umadbv1.ReadRequest{
			Query: &umadbv1.Query{Items: []*umadbv1.QueryItem{{Tags: []string{"dcb:tracking:s"}}}},
		}},
		{"empty tag in a query", "query[0].Tags[0]", &umadbv1.ReadRequest{Query: &umadbv1.Query{Items: []*umadbv1.QueryItem{{Tags: []string{""}}}}}},
		{"empty tag in a query with limit 0", "query[0].Tags[0]", &umadbv1.ReadRequest{
			Limit: new(uint32(0)), Query: &umadbv1.Query{Items: []*umadbv1.QueryItem{{Tags: []string{""}}}},
		}},
		{"empty tag in a subscription", "query[0].Tags[0]", &umadbv1.SubscribeRequest{Query: &umadbv1.Query{Items: []*umadbv1.QueryItem{{Tags: []string{""}}}}}},
		{"subscribe in a read", "subscribe", &umadbv1.ReadRequest{Subscribe: new(true)}}, //nolint:staticcheck // deprecated in the protocol
		{"no source", "source", &umadbv1.TrackingRequest{}},
		{"long source", "source", &umadbv1.TrackingRequest{Source: strings.Repeat("s", maxSourceBytes+1)}},
		{"no source in an append", "tracking_info.source", &umadbv1.AppendRequest{TrackingInfo: &umadbv1.TrackingInfo{Position: 1}}},
		{"no space for the tracking tag", "events[0].tags", &umadbv1.AppendRequest{
			Events: []*umadbv1.Event{newEvent("T", tooManyTags...)}, TrackingInfo: &umadbv1.TrackingInfo{Source: "s", Position: 1},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			trailer, err := call(t, rpc, test.request)
			detail := wantError(t, err, trailer, codes.InvalidArgument, umadbv1.ErrorResponse_INVALID_ARGUMENT)
			if got := detail.GetDcb().GetField(); !strings.HasSuffix(got, test.field) {
				t.Errorf("field %q, want %q", got, test.field)
			}
			if strings.Contains(detail.String(), secret) {
				t.Error("the error quotes an event")
			}
		})
	}
	t.Run("records nothing", func(t *testing.T) {
		if head, err := store.Head(t.Context()); err != nil || head != 0 {
			t.Errorf("Head = %d, %v; want 0", head, err)
		}
	})
}

// call makes the call of a request, and returns its trailer and error.
func call(t testing.TB, rpc umadbv1.DCBClient, request proto.Message) (trailer metadata.MD, err error) {
	t.Helper()
	switch request := request.(type) {
	case *umadbv1.AppendRequest:
		_, err = rpc.Append(t.Context(), request, grpc.Trailer(&trailer))
	case *umadbv1.HeadRequest:
		_, err = rpc.Head(t.Context(), request, grpc.Trailer(&trailer))
	case *umadbv1.TrackingRequest:
		_, err = rpc.GetTrackingInfo(t.Context(), request, grpc.Trailer(&trailer))
	case *umadbv1.ReadRequest:
		var stream grpc.ServerStreamingClient[umadbv1.ReadResponse]
		if stream, err = rpc.Read(t.Context(), request); err == nil {
			_, err = stream.Recv()
			trailer = stream.Trailer()
		}
	case *umadbv1.SubscribeRequest:
		var stream grpc.ServerStreamingClient[umadbv1.SubscribeResponse]
		if stream, err = rpc.Subscribe(t.Context(), request); err == nil {
			_, err = stream.Recv()
			trailer = stream.Trailer()
		}
	default:
		t.Fatalf("no call takes a %T", request)
	}
	return trailer, err
}
