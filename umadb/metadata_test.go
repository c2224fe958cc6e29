package umadb

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

func TestMetadataKeepsItsOrder(t *testing.T) {
	t.Parallel()
	forEachKind(t, func(t *testing.T, store dcb.Store) {
		rpc := serve(t, store, ServerOptions{}).raw(t)
		unordered := newEvent("Unordered")
		unordered.Metadata = []*umadbv1.MetadataEntry{{Key: "c", Value: "1"}, {Key: "a", Value: "2"}, {Key: "b b", Value: "3"}}
		ordered := newEvent("Ordered")
		ordered.Metadata = []*umadbv1.MetadataEntry{{Key: "a", Value: "1"}, {Key: "b"}}
		full := newEvent("Full")
		for i := range dcb.MaxMetadata - 1 {
			full.Metadata = append(full.Metadata, &umadbv1.MetadataEntry{Key: strings.Repeat("k", dcb.MaxMetadata-i)})
		}
		sent := []*umadbv1.Event{unordered, ordered, full}
		if _, err := call(t, rpc, &umadbv1.AppendRequest{Events: sent}); err != nil {
			t.Fatal(err)
		}
		// With a tracking position, which is a reserved entry, too.
		tracked := trackedAppend{events: sent[:2], source: "s", position: 1}
		if _, err := call(t, rpc, tracked.request()); err != nil {
			t.Fatal(err)
		}
		stream, err := rpc.Read(t.Context(), &umadbv1.ReadRequest{})
		for i, got := range messages(t, stream, err)[0].Events {
			if diff := cmp.Diff(sent[i%3], got.Event, protocmp.Transform()); diff != "" {
				t.Errorf("event %d: %s", i+1, diff)
			}
		}
		result, err := store.Read(t.Context(), dcb.Query{{Types: []string{"Ordered"}}}, dcb.ReadOptions{Limit: 1})
		if err != nil || len(result.Events[0].Metadata) != 2 {
			t.Errorf("an ascending order is stored as %v, %v; want no reserved entry", result.Events[0].Metadata, err)
		}
	})
}

// The reserved entry of an event that another protocol wrote may be anything.
func TestMetadataOrderOfOtherProtocols(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	rpc := serve(t, store, ServerOptions{}).raw(t)
	for _, order := range []string{"", "0", "0 0", "0 1 2", "1 -1", "1 2", "a b"} {
		event := dcb.Event{Type: "T", Metadata: map[string]string{"a": "1", "b": "2", orderKey: order}}
		at, err := store.Append(t.Context(), []dcb.Event{event}, nil)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := rpc.Read(t.Context(), &umadbv1.ReadRequest{Start: new(uint64(at))})
		want := []string{"a", "b", orderKey}
		if got := keysOf(messages(t, stream, err)[0].Events[0].Event); !slices.Equal(got, want) {
			t.Errorf("order %q: keys %v, want %v", order, got, want)
		}
	}
}

func keysOf(e *umadbv1.Event) (keys []string) {
	for _, entry := range e.GetMetadata() {
		keys = append(keys, entry.GetKey())
	}
	return keys
}

func TestFromMetadataAndOrderedKeysAreInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.StringN(1, 5, 20), 0, 20, func(key string) string { return key }).Draw(t, "keys")
		entries := make([]*umadbv1.MetadataEntry, len(keys))
		for i, key := range keys {
			entries[i] = &umadbv1.MetadataEntry{Key: key, Value: key}
		}
		values, err := fromMetadata(entries)
		if err != nil {
			t.Fatal(err)
		}
		if got := orderedKeys(values); !slices.Equal(got, keys) {
			t.Errorf("orderedKeys = %q, want %q", got, keys)
		}
	})
}
