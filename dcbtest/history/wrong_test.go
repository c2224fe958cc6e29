package history

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
)

// wrongStores are wrong in ways that show only when calls meet, each with the rule that it must be found to break.
func wrongStores() []wrongStore {
	return []wrongStore{
		{"checks the condition, then inserts", RuleCondition, func(s *plain) dcb.Store { return checksThenInserts{s} }},
		{"decides a group by what was there before it", RuleCondition, grouping(decidesTogether)},
		{"fails a whole group by one conflict", RuleSpuriousConflict, grouping(oneFailsAll)},
		{"commits a group under its leader's context", RuleError, grouping(leaderCancelsAll)},
		{"aborts unrelated appends", RuleSpuriousConflict, func(s *plain) dcb.Store { return abortsNeighbours{s} }},
		{"conflicts with an append that is rolled back", RuleSpuriousConflict, func(s *plain) dcb.Store {
			return readsDirty{s, make(map[*dcb.Event]dcb.Event)}
		}},
		{"names the head for the conflict", RuleConflictPosition, func(s *plain) dcb.Store { return namesTheHead{s} }},
		{"returns the head for the append's position", RulePosition, func(s *plain) dcb.Store { return returnsTheHead{s} }},
		{"loses an acknowledged append", RuleLost, func(s *plain) dcb.Store { return losesUpdates{s} }},
		{"records what it refuses", RuleGhost, func(s *plain) dcb.Store { return recordsThenChecks{s} }},
		{"burns positions", RuleDense, func(s *plain) dcb.Store { return burnsPositions{s} }},
		{"fills a gap later", RuleOrder, func(s *plain) dcb.Store { return fillsGaps{s, new([]dcb.Position)} }},
		{"shows half an append", RuleHalfVisible, func(s *plain) dcb.Store { return showsHalf{s, new(sync.Mutex)} }},
		{"stops halfway when cancelled", RuleTorn, func(s *plain) dcb.Store { return stopsHalfway{s, new(sync.Mutex)} }},
		{"puts another's event in the middle", RuleInterleaved, func(s *plain) dcb.Store { return interleaves{s} }},
		{"shows events that it takes back", RuleVanished, func(s *plain) dcb.Store { return rollsBackInPublic{s, new(sync.Mutex)} }},
		{"records a retry twice", RuleTwice, func(s *plain) dcb.Store { return forgetsIDs{s} }},
		{"judges a retry by its condition", RuleRetry, func(s *plain) dcb.Store { return judgesRetries{s} }},
		{"takes a retry for a duplicate", RuleDuplicateID, func(s *plain) dcb.Store { return refusesTwins{s} }},
		{"lets RecordedAt fall", RuleClock, func(s *plain) dcb.Store { return asksTheClockEarly{s} }},
		{"shows a lower position late", RuleReadMissing, func(s *plain) dcb.Store {
			return showsLate{s, make(map[dcb.Position]bool), new(sync.Mutex)}
		}},
		{"shows a follower a lower position late", RuleFollowMissing, func(s *plain) dcb.Store {
			return showsLate{s, make(map[dcb.Position]bool), new(sync.Mutex)}
		}},
		{"takes a newer head than the events", RuleReadMissing, func(s *plain) dcb.Store { return asksForHeadLater{s} }},
		{"takes an older head than the events", RuleReadExtra, func(s *plain) dcb.Store { return asksForHeadBefore{s} }},
		{"reads each item at a moment of its own", RuleReadMissing, func(s *plain) dcb.Store { return readsItemByItem{s} }},
		{"reads from a replica that lags", RuleLaggingHead, func(s *plain) dcb.Store { return readsReplica{s, newPlain()} }},
		{"caches the head in each handle", RuleFallingHead, func(s *plain) dcb.Store {
			return cachesHead{s, new(atomic.Uint64), new(atomic.Uint64)}
		}},
		{"loses a wake-up", RuleHang, func(s *plain) dcb.Store { return fallsAsleep{s} }},
		{"never wakes", RuleHang, func(s *plain) dcb.Store { return neverWakes{s} }},
		{"wakes for anything", RuleWait, func(s *plain) dcb.Store { return wakesForAnything{s} }},
		{"drops a follower's notice", RuleFollowMissing, func(s *plain) dcb.Store {
			return dropsNotices{s, new(sync.Mutex), new([]chan notice)}
		}},
		{"sends a follower back", RuleFollowTwice, func(s *plain) dcb.Store { return goesBack{s} }},
	}
}

type wrongStore struct {
	name   string
	breaks Rule
	handle func(s *plain) dcb.Store
}

func grouping(commit commit) func(s *plain) dcb.Store {
	return func(s *plain) dcb.Store { return &groups{plain: s, commit: commit} }
}

func TestAHistoryRevealsStoresThatAreWrongWhenCallsMeet(t *testing.T) {
	for _, wrong := range wrongStores() {
		t.Run(wrong.name, func(t *testing.T) {
			t.Parallel()
			// Chance has a part in how calls meet: one history shows the fault as a rule, and a hundred leave chance none in the outcome.
			const histories = 100
			found := []Rule{}
			for seed := uint64(1); seed <= histories; seed++ {
				found = rulesBroken(t, wrong, seed)
				if slices.Contains(found, wrong.breaks) {
					return
				}
			}
			t.Errorf("%d histories do not show that %q is broken; the last shows %q", histories, wrong.breaks, found)
		})
	}
}

func rulesBroken(t *testing.T, wrong wrongStore, seed uint64) []Rule {
	t.Helper()
	shared := newPlain()
	handle := wrong.handle(shared)
	handles := []dcb.Store{handle}
	if wrong.breaks == RuleFallingHead { // which takes two handles, as alone one would only lag
		handles = append(handles, wrong.handle(shared))
	}
	patience := time.Duration(seed) * 300 * time.Millisecond // what a slow machine cuts short, the next history may not
	h, err := Workload{Handles: handles, Seed: seed, Steps: 40, Patience: patience}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.ReadFinal(t.Context(), shared); err != nil {
		t.Fatal(err)
	}
	var rules []Rule
	for _, v := range h.Check() {
		if !slices.Contains(rules, v.Rule) {
			rules = append(rules, v.Rule)
		}
	}
	t.Logf("seed %d: %d operations, broken: %q", seed, len(h.Operations), rules)
	return rules
}

func TestThePlainStoreBehindTheWrongOnesIsCorrect(t *testing.T) {
	t.Parallel()
	store := newPlain()
	h, err := Workload{Handles: []dcb.Store{store, store}}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Verify(t.Context(), store); err != nil {
		t.Error(err)
	}
}
