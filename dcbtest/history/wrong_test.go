package history

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
)

// wrongStore is a kind of store that is wrong only when calls overlap.
type wrongStore struct {
	name   string
	breaks Rule
	open   func(s *simpleStore) dcb.Store // a handle on the events of s
}

func wrongStores() []wrongStore {
	return []wrongStore{
		{"checks the condition, then inserts", RuleCondition, func(s *simpleStore) dcb.Store { return checksThenInserts{s} }},
		{"checks a group against what was recorded before it", RuleCondition, groupCommit(checkTogether)},
		{"fails a group for one conflict", RuleSpuriousConflict, groupCommit(failTogether)},
		{"commits a group with its leader's context", RuleError, groupCommit(cancelTogether)},
		{"aborts unrelated appends", RuleSpuriousConflict, func(s *simpleStore) dcb.Store { return abortsUnrelated{s} }},
		{"conflicts with an append that is rejected later", RuleSpuriousConflict, func(s *simpleStore) dcb.Store {
			return readsUncommitted{s, make(map[*dcb.Event]dcb.Event)}
		}},
		{"reports the head as the position of a conflict", RuleConflictPosition, func(s *simpleStore) dcb.Store { return conflictsWithHead{s} }},
		{"returns the head from Append", RulePosition, func(s *simpleStore) dcb.Store { return returnsHead{s} }},
		{"loses an acknowledged append", RuleLost, func(s *simpleStore) dcb.Store { return losesUpdates{s} }},
		{"records a rejected append", RuleRejected, func(s *simpleStore) dcb.Store { return recordsThenChecks{s} }},
		{"skips positions", RuleDense, func(s *simpleStore) dcb.Store { return skipsPositions{s} }},
		{"fills gaps later", RuleOrder, func(s *simpleStore) dcb.Store { return fillsGaps{s, new([]dcb.Position)} }},
		{"shows half an append", RulePartlyVisible, func(s *simpleStore) dcb.Store { return showsHalf{s, new(sync.Mutex)} }},
		{"stops within an append when cancelled", RulePartial, func(s *simpleStore) dcb.Store { return stopsHalfway{s, new(sync.Mutex)} }},
		{"records an event within another append", RuleConsecutive, func(s *simpleStore) dcb.Store { return interleaves{s} }},
		{"shows events and rolls them back", RuleVanished, func(s *simpleStore) dcb.Store { return showsUncommitted{s, new(sync.Mutex)} }},
		{"records a retry again", RuleDuplicate, func(s *simpleStore) dcb.Store { return checksIDsEarly{s} }},
		{"checks the condition of a retry", RuleRetry, func(s *simpleStore) dcb.Store { return checksRetries{s} }},
		{"takes a retry for a duplicate", RuleDuplicateID, func(s *simpleStore) dcb.Store { return refusesRetries{s} }},
		{"lets RecordedAt fall", RuleTime, func(s *simpleStore) dcb.Store { return readsClockEarly{s} }},
		{"shows a lower position after a higher one", RuleReadMissing, func(s *simpleStore) dcb.Store {
			return showsLate{s, make(map[dcb.Position]bool), new(sync.Mutex)}
		}},
		{"shows a follower a lower position after a higher one", RuleFollowMissing, func(s *simpleStore) dcb.Store {
			return showsLate{s, make(map[dcb.Position]bool), new(sync.Mutex)}
		}},
		{"reads the head after the events", RuleReadMissing, func(s *simpleStore) dcb.Store { return readsHeadAfter{s} }},
		{"reads the head before the events", RuleReadExtra, func(s *simpleStore) dcb.Store { return readsHeadBefore{s} }},
		{"reads each item at another moment", RuleReadMissing, func(s *simpleStore) dcb.Store { return readsItemByItem{s} }},
		{"has no More", RuleReadMore, func(s *simpleStore) dcb.Store { return hasNoMore{s} }},
		{"has More after every full page", RuleReadMore, func(s *simpleStore) dcb.Store { return guessesMore{s} }},
		{"reads from a stale replica", RuleStaleHead, func(s *simpleStore) dcb.Store { return readsReplica{s, newSimpleStore()} }},
		{"caches the head in each handle", RuleFallingHead, func(s *simpleStore) dcb.Store {
			return cachesHead{s, new(atomic.Uint64), new(atomic.Uint64)}
		}},
		{"loses a wake-up", RuleHang, func(s *simpleStore) dcb.Store { return losesWakeUps{s} }},
		{"never wakes", RuleHang, func(s *simpleStore) dcb.Store { return neverWakes{s} }},
		{"wakes too early", RuleWait, func(s *simpleStore) dcb.Store { return wakesEarly{s} }},
		{"drops a follower's notification", RuleFollowMissing, func(s *simpleStore) dcb.Store {
			return dropsNotifications{s, new(sync.Mutex), new([]chan notification)}
		}},
		{"sends a follower back", RuleFollowExtra, func(s *simpleStore) dcb.Store { return followsFromOldHead{s} }},
		{"has More in every batch", RuleFollowMore, func(s *simpleStore) dcb.Store { return alwaysHasMore{s} }},
	}
}

func TestCheckCatchesWrongStores(t *testing.T) {
	t.Parallel()
	for _, wrong := range wrongStores() {
		t.Run(wrong.name, func(t *testing.T) {
			t.Parallel()
			// How calls overlap is chance. One history reveals the fault as a rule; a hundred leave
			// nothing to chance.
			const histories = 100
			var broken []Rule
			for seed := uint64(1); seed <= histories; seed++ {
				if broken = brokenRules(t, wrong, seed); slices.Contains(broken, wrong.breaks) {
					return
				}
			}
			t.Errorf("%d histories do not break %q; the last breaks %q", histories, wrong.breaks, broken)
		})
	}
}

// brokenRules runs a workload on a wrong store and returns the rules that its history breaks.
func brokenRules(t *testing.T, wrong wrongStore, seed uint64) []Rule {
	t.Helper()
	shared := newSimpleStore()
	handle := wrong.open(shared)
	handles := []dcb.Store{handle}
	if wrong.breaks == RuleFallingHead { // a single handle is only stale
		handles = append(handles, wrong.open(shared))
	}
	// A slow machine may need a longer timeout, which a later seed has.
	timeout := time.Duration(seed) * 300 * time.Millisecond
	h := runWorkload(t, Workload{Handles: handles, Seed: seed, Steps: 40, HangTimeout: timeout})
	if err := h.ReadFinal(t.Context(), shared); err != nil {
		t.Fatal(err)
	}
	var rules []Rule
	for _, v := range h.Check() {
		if !slices.Contains(rules, v.Rule) {
			rules = append(rules, v.Rule)
		}
	}
	t.Logf("seed %d: %d operations break %q", seed, len(h.Operations), rules)
	return rules
}
