package dcbtest

import "github.com/dcbstore/dcb"

// historyCases run a workload and check its history.
func historyCases() []Case {
	const rule = "Any number of goroutines may call the methods of a store at once, and any number of stores may share the same events: " +
		"each violation below names the sentence that it breaks."
	return []Case{
		{
			Name: "histories/many callers on one handle",
			Rule: rule,
			Run:  func(t *T) { t.verify(Workload{Handles: []dcb.Store{t.Store}}, t.Store) },
		},
		{
			Name: "histories/few tags and many conflicts",
			Rule: rule,
			Run:  func(t *T) { t.verify(Workload{Handles: []dcb.Store{t.Store}, Tags: 1, Types: 2, Callers: 4}, t.Store) },
		},
		{
			Name:  "histories/many callers on several handles",
			Rule:  rule,
			Needs: NeedSecond,
			Run: func(t *T) {
				handles := []dcb.Store{t.Store, t.Second(t.Store), t.Second(t.Store)}
				t.verify(Workload{Handles: handles}, handles[1])
			},
		},
		{
			Name:  "histories/what many callers recorded is there after reopening",
			Rule:  rule,
			Needs: NeedReopen,
			Run: func(t *T) {
				h := t.record(Workload{Handles: []dcb.Store{t.Store}, Steps: 50})
				if err := h.Verify(t.ctx, t.Reopen(t.Store)); err != nil {
					t.Errorf("%w", err)
				}
			},
		},
	}
}

// verify runs a workload, and checks its history by the sequence that final holds in the end.
func (t *T) verify(w Workload, final dcb.Store) {
	if err := t.record(w).Verify(t.ctx, final); err != nil {
		t.Errorf("%w", err)
	}
}

func (t *T) record(w Workload) *History {
	w.Patience = t.suite.Timeout / 6 // callers, then waits, then followers may hang, and the case must live to tell
	h, err := w.Run(t.ctx)
	if err != nil {
		t.Fatalf("%w", err)
	}
	return h
}
