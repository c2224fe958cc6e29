package umadb

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// trackedAppend is an append with a tracking position, and its result.
type trackedAppend struct {
	name      string
	events    []*umadbv1.Event
	condition *umadbv1.AppendCondition
	source    string
	position  uint64
	want      uint64 // position; 0: refused
}

func (s trackedAppend) request() *umadbv1.AppendRequest {
	return &umadbv1.AppendRequest{
		Events: s.events, Condition: s.condition, TrackingInfo: &umadbv1.TrackingInfo{Source: s.source, Position: s.position},
	}
}

// wantTracked checks the stored position of a source.
func wantTracked(t testing.TB, rpc umadbv1.DCBClient, source string, want *uint64) {
	t.Helper()
	got, err := rpc.GetTrackingInfo(t.Context(), &umadbv1.TrackingRequest{Source: source})
	switch {
	case err != nil:
		t.Fatal(err)
	case want == nil && got.Position != nil, want != nil && (got.Position == nil || *got.Position != *want):
		t.Errorf("GetTrackingInfo(%s) = %v, want %v", source, got, want)
	}
}

func TestTrackingPositionOnlyIncreases(t *testing.T) {
	t.Parallel()
	forEachKind(t, func(t *testing.T, store dcb.Store) {
		rpc := serve(t, store, ServerOptions{}).raw(t)
		wantTracked(t, rpc, "s", nil)
		event := []*umadbv1.Event{newEvent("T", "t")}
		identified := []*umadbv1.Event{newEvent("I"), newEvent("I")}
		for _, e := range identified {
			e.Uuid = uuid.NewString()
		}
		changed := []*umadbv1.Event{newEvent("J"), identified[1]}
		changed[0].Uuid = identified[0].Uuid
		typeX := &umadbv1.AppendCondition{FailIfEventsMatch: &umadbv1.Query{Items: []*umadbv1.QueryItem{{Types: []string{"X"}}}}}
		typeT := &umadbv1.AppendCondition{FailIfEventsMatch: &umadbv1.Query{Items: []*umadbv1.QueryItem{{Types: []string{"T"}}}}}
		afterAll := &umadbv1.AppendCondition{After: new(uint64(1 << 62))}
		for _, step := range []trackedAppend{
			{"first position 0", event, nil, "s", 0, 1},
			{"same position", event, nil, "s", 0, 0},
			{"greater position", event, nil, "s", 5, 2},
			{"lower position", event, nil, "s", 4, 0},
			{"another source", event, nil, "s2", 1, 3},
			{"condition holds", event, typeX, "s", 6, 4},
			{"condition fails", event, typeT, "s", 7, 0},
			{"condition after the head holds", event, afterAll, "s", 8, 5},
			{"events with IDs", identified, typeX, "s", 9, 7},
			{"events with IDs again", identified, typeX, "s", 9, 7},
			{"events with IDs again with a failing condition", identified, typeT, "s", 9, 7},
			{"the same IDs with other events", changed, nil, "s", 9, 0},
			{"the same events with a greater position", identified, nil, "s", 10, 0},
			{"highest position", event, nil, "s", 1<<64 - 1, 8},
		} {
			var trailer metadata.MD
			response, err := rpc.Append(t.Context(), step.request(), grpc.Trailer(&trailer))
			if step.want == 0 {
				code := codes.FailedPrecondition
				if strings.Contains(step.name, "the same IDs") || strings.Contains(step.name, "the same events") {
					code = codes.AlreadyExists
				}
				wantError(t, err, trailer, code, umadbv1.ErrorResponse_INTEGRITY)
			} else if err != nil || response.GetPosition() != step.want {
				t.Errorf("%s: Append = %d, %v; want %d", step.name, response.GetPosition(), err, step.want)
			}
		}
		wantTracked(t, rpc, "s", new(uint64(1<<64-1)))
		wantTracked(t, rpc, "s2", new(uint64(1)))
		wantTracked(t, rpc, "s3", nil)
	})
}

func TestTrackingIsReturnedWithItsEvents(t *testing.T) {
	t.Parallel()
	forEachKind(t, func(t *testing.T, store dcb.Store) {
		rpc := serve(t, store, ServerOptions{}).raw(t)
		source := "a source: " + strings.Repeat("ü", 100)
		event := newEvent("T", "a", "b")
		event.Metadata = []*umadbv1.MetadataEntry{{Key: "k", Value: "v"}}
		plain := newEvent("T")
		_, err := rpc.Append(t.Context(), trackedAppend{events: []*umadbv1.Event{event, plain}, source: source, position: 7}.request())
		if err != nil {
			t.Fatal(err)
		}
		subscription, err := rpc.Subscribe(t.Context(), &umadbv1.SubscribeRequest{})
		if err != nil {
			t.Fatal(err)
		}
		followed, err := subscription.Recv()
		if err != nil {
			t.Fatal(err)
		}
		stream, err := rpc.Read(t.Context(), &umadbv1.ReadRequest{})
		for _, events := range [][]*umadbv1.SequencedEvent{followed.Events, messages(t, stream, err)[0].Events} {
			if len(events) != 2 {
				t.Fatalf("%d events, want 2", len(events))
			}
			for i, want := range []*umadbv1.Event{event, plain} {
				got := events[i]
				if fmt.Sprint(got.Event) != fmt.Sprint(want) {
					t.Errorf("event %v, want %v", got.Event, want)
				}
				if got.TrackingInfo.GetSource() != source || got.TrackingInfo.GetPosition() != 7 {
					t.Errorf("tracking_info %v", got.TrackingInfo)
				}
			}
		}
	})
}

func TestTrackingWithoutEventsIsStoredInAnEventOfItsOwn(t *testing.T) {
	t.Parallel()
	forEachKind(t, func(t *testing.T, store dcb.Store) {
		rpc := serve(t, store, ServerOptions{}).raw(t)
		response, err := rpc.Append(t.Context(), trackedAppend{source: "s", position: 3}.request())
		if err != nil || response.GetPosition() != 0 {
			t.Fatalf("Append = %d, %v; want 0", response.GetPosition(), err)
		}
		wantTracked(t, rpc, "s", new(uint64(3)))
		_, err = rpc.Append(t.Context(), trackedAppend{source: "s", position: 3}.request())
		if err == nil {
			t.Error("the same append was recorded twice")
		}
		stream, err := rpc.Read(t.Context(), &umadbv1.ReadRequest{})
		events := messages(t, stream, err)[0].Events
		if len(events) != 1 || events[0].Event.EventType != trackingType || len(events[0].Event.Tags)+len(events[0].Event.Metadata) != 0 {
			t.Errorf("events %v, want one without tags and metadata", events)
		}
	})
}

// Events of other protocols that resemble tracked events are not tracked.
func TestTrackingIgnoresEventsOfOtherProtocols(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	rpc := serve(t, store, ServerOptions{}).raw(t)
	if _, err := rpc.Append(t.Context(), trackedAppend{events: []*umadbv1.Event{newEvent("T")}, source: "s", position: 3}.request()); err != nil {
		t.Fatal(err)
	}
	for _, e := range []dcb.Event{
		{Type: "F", Tags: []string{"dcb:tracking:s"}},
		{Type: "F", Tags: []string{"dcb:tracking:s"}, Metadata: map[string]string{trackingKey: "nine s"}},
		{Type: "F", Tags: []string{"dcb:tracking:s"}, Metadata: map[string]string{trackingKey: "9 other"}},
		{Type: "F", Metadata: map[string]string{trackingKey: "9 s"}},
	} {
		if _, err := store.Append(t.Context(), []dcb.Event{e}, nil); err != nil {
			t.Fatal(err)
		}
	}
	wantTracked(t, rpc, "s", new(uint64(3)))
	stream, err := rpc.Read(t.Context(), &umadbv1.ReadRequest{Start: new(uint64(2))})
	for _, e := range messages(t, stream, err)[0].Events {
		if e.TrackingInfo != nil || len(e.Event.Tags)+len(e.Event.Metadata) == 0 {
			t.Errorf("%v has a tracking_info, or lost its tags", e)
		}
	}
}

// Several workers process the same upstream events. Each position is recorded at most once, while
// other clients append.
func TestTrackingIsAtomic(t *testing.T) {
	t.Parallel()
	const workers, last = 6, 40
	forEachKind(t, func(t *testing.T, store dcb.Store) {
		s := serve(t, store, ServerOptions{})
		rpc := s.raw(t)
		var recorded atomic.Int64
		var all, noise sync.WaitGroup
		stop := make(chan struct{})
		noise.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := store.Append(t.Context(), []dcb.Event{{Type: "Noise", Tags: []string{"n"}}}, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for range workers {
			all.Go(func() {
				for position := uint64(1); position <= last; position++ {
					step := trackedAppend{events: []*umadbv1.Event{newEvent("T", fmt.Sprintf("position:%d", position))}, source: "s", position: position}
					var trailer metadata.MD
					if _, err := rpc.Append(t.Context(), step.request(), grpc.Trailer(&trailer)); err == nil {
						recorded.Add(1)
					} else if !errors.Is(s.client(t).errorOf(t, err, trailer), dcb.ErrConflict) {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		close(stop)
		noise.Wait()
		if got := recorded.Load(); got > last {
			t.Errorf("%d appends are recorded for %d positions", got, last)
		}
		wantTracked(t, rpc, "s", new(uint64(last)))
		before := uint64(0)
		stream, err := rpc.Read(t.Context(), &umadbv1.ReadRequest{Query: &umadbv1.Query{Items: []*umadbv1.QueryItem{{Types: []string{"T"}}}}})
		for _, m := range messages(t, stream, err) {
			for _, e := range m.Events {
				if got := e.TrackingInfo.GetPosition(); got <= before {
					t.Errorf("tracking position %d follows %d", got, before)
				} else {
					before = got
				}
			}
		}
	})
}

// errorOf returns the error of our client for a failed call.
func (c *Client) errorOf(t testing.TB, err error, trailer metadata.MD) error {
	t.Helper()
	_, failure := c.failure(t.Context(), err, trailer)
	return failure
}
