package dcbtest

import (
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

func TestTheHistoriesOfAMemstoreAreCorrect(t *testing.T) {
	for range 8 {
		store := memstore.New(nil)
		h, err := Workload{Handles: []dcb.Store{store}}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Verify(t.Context(), store); err != nil {
			t.Error(err)
		}
		n := map[string]int{}
		for _, o := range h.Operations {
			k := string(o.Call)
			if o.Err != nil {
				k += " " + o.Err.Error()[:10]
			}
			n[k]++
		}
		t.Log(len(h.Operations), len(h.Final), n)
	}
}
