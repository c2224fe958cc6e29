package umadb

import (
	"context"
	"sync"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/history"
)

func TestClientHistoriesAreCorrectThoughConnectionsAreCut(t *testing.T) {
	t.Parallel()
	forEachKind(t, func(t *testing.T, store dcb.Store) {
		serving := serve(t, store, ServerOptions{})
		var handles []dcb.Store
		var cuts []*cutter
		for range 3 {
			client, c := dialCutter(t, serving, testPatience)
			handles, cuts = append(handles, client), append(cuts, c)
		}
		ctx, done := context.WithCancel(t.Context())
		var disturbing sync.WaitGroup
		disturbing.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := store.Wait(ctx, headOf(ctx, store)+5); err == nil {
					cuts[i%len(cuts)].cut(false)
				}
			}
		})
		h, err := history.Workload{Handles: handles, Callers: 9, Steps: 60, MayFail: true, HangTimeout: 2 * testPatience}.Run(ctx)
		done()
		disturbing.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Verify(t.Context(), store); err != nil {
			t.Error(err)
		}
		if len(h.Final) == 0 {
			t.Error("the workload recorded no events")
		}
		t.Logf("%d calls, %d events", len(h.Operations), len(h.Final))
	})
}

// headOf returns the head of a store, or 0 if it cannot answer.
func headOf(ctx context.Context, store dcb.Store) dcb.Position {
	head, err := store.Head(ctx)
	if err != nil {
		return 0
	}
	return head
}
