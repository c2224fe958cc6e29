package dcbtest

import (
	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/history"
)

// historyCases run concurrent workloads and check what the callers saw.
func historyCases() []Case {
	const rule = ruleGoroutines + " " + ruleHandles + " Each violation names the rule that it breaks."
	return []Case{
		{
			Name: "History/many callers, one handle",
			Rule: rule,
			Run:  func(t *T) { t.checkWorkload(history.Workload{Handles: []dcb.Store{t.Store}}, t.Store) },
		},
		{
			Name: "History/few tags and many conflicts",
			Rule: rule,
			Run: func(t *T) {
				t.checkWorkload(history.Workload{Handles: []dcb.Store{t.Store}, Tags: 1, Types: 2, Callers: 4}, t.Store)
			},
		},
		{
			Name:  "History/many callers, several handles",
			Rule:  rule,
			Needs: NeedSecond,
			Run: func(t *T) {
				handles := []dcb.Store{t.Store, t.Second(t.Store), t.Second(t.Store)}
				t.checkWorkload(history.Workload{Handles: handles}, handles[1])
			},
		},
		{
			Name:  "History/many callers, then Reopen",
			Rule:  rule,
			Needs: NeedReopen,
			Run: func(t *T) {
				h := t.runWorkload(history.Workload{Handles: []dcb.Store{t.Store}, Steps: 50})
				if err := h.Verify(t.ctx, t.Reopen(t.Store)); err != nil {
					t.Errorf("%w", err)
				}
			},
		},
	}
}

// checkWorkload runs w and checks its history. It reads the final sequence through final.
func (t *T) checkWorkload(w history.Workload, final dcb.Store) {
	if err := t.runWorkload(w).Verify(t.ctx, final); err != nil {
		t.Errorf("%w", err)
	}
}

// runWorkload runs w and returns its history.
func (t *T) runWorkload(w history.Workload) *history.History {
	// Callers, wake-ups and followers may each use up this time before the case itself times out.
	w.HangTimeout = t.suite.Timeout / 6
	h, err := w.Run(t.ctx)
	if err != nil {
		t.Fatalf("%w", err)
	}
	return h
}
