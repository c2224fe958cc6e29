package history

import "fmt"

// Rule names a rule of the contract that a history can break. Its value says what is wrong when it is broken.
type Rule string

// The rules that [History.Check] checks.
const (
	RuleDense            Rule = "positions not dense"
	RuleClock            Rule = "RecordedAt wrong"
	RuleInvented         Rule = "event that nobody sent"
	RuleAltered          Rule = "event changed"
	RuleTwice            Rule = "recorded twice"
	RuleTorn             Rule = "append recorded in part"
	RuleInterleaved      Rule = "append not together"
	RulePosition         Rule = "wrong position returned"
	RuleLost             Rule = "accepted append lost"
	RuleGhost            Rule = "failed append recorded"
	RuleCondition        Rule = "condition ignored"
	RuleSpuriousConflict Rule = "conflict without a conflicting event"
	RuleConflictPosition Rule = "conflict names a wrong position"
	RuleRetry            Rule = "retry refused"
	RuleDuplicateID      Rule = "ErrDuplicateID misjudged"
	RuleError            Rule = "unexpected error"
	RuleOrder            Rule = "recorded below what was visible before"
	RuleVanished         Rule = "seen and gone"
	RuleLaggingHead      Rule = "head behind an append that returned"
	RuleFallingHead      Rule = "head fell"
	RuleHalfVisible      Rule = "half an append visible"
	RuleReadMissing      Rule = "read misses an event"
	RuleReadExtra        Rule = "read returns an event too many"
	RuleReadHead         Rule = "head of a read wrong"
	RuleWait             Rule = "Wait returned too early"
	RuleHang             Rule = "call hangs"
	RuleFollowMissing    Rule = "follower misses an event"
	RuleFollowTwice      Rule = "follower sees an event too often"
	RuleFollowHead       Rule = "follower's head wrong"
)

// Sentence returns what the contract says, in the words of package dcb where it has them.
func (r Rule) Sentence() string {
	sentence, ok := sentences[r]
	if !ok {
		panic("history: no sentence for the rule " + string(r))
	}
	return sentence
}

var sentences = map[Rule]string{
	RuleDense:            "The first event has position 1 and there are no gaps.",
	RuleClock:            "RecordedAt is UTC, in whole microseconds, and never falls as Position rises.",
	RuleInvented:         "The store holds exactly the events that were appended, as they were sent, and what was once visible stays.",
	RuleAltered:          "The store holds exactly the events that were appended, as they were sent, and what was once visible stays.",
	RuleTwice:            "An ID is unique in the store: sending an append again records nothing and returns its position.",
	RuleTorn:             "An append is recorded as a whole or not at all.",
	RuleInterleaved:      "Append records events at consecutive positions, in the order given, as one atomic step.",
	RulePosition:         "Append returns the position of the last of its events, and the same when it is sent again.",
	RuleLost:             "An append that returned is recorded, as durably as the store keeps anything.",
	RuleGhost:            "A call that returns an error, other than one that leaves the outcome unknown, has changed nothing.",
	RuleCondition:        "If an event after condition.After matches the condition, nothing is recorded; checking and recording are one step.",
	RuleSpuriousConflict: "Appends that do not concern each other never make one another fail.",
	RuleConflictPosition: "ConflictError.Position is that of an event that matches the condition, after its After.",
	RuleRetry:            "If exactly these events are recorded already, their position is returned, whatever the condition says.",
	RuleDuplicateID:      "ErrDuplicateID says that one of the IDs is recorded already, otherwise than by this very append.",
	RuleError:            "A valid call on an open store that can answer does not fail, whatever becomes of the calls beside it.",
	RuleOrder:            "Who has seen position n will never find anything new at or below n.",
	RuleVanished:         "The store holds exactly the events that were appended, as they were sent, and what was once visible stays.",
	RuleLaggingHead:      "What begins after an append returned sees it.",
	RuleFallingHead:      "Heads never fall: what begins after a head was shown shows none below it, through whichever handle.",
	RuleHalfVisible:      "All events of an append become visible at once: no head lies within it.",
	RuleReadMissing:      "The result shows one moment: every selected event up to its Head, within the bounds, in order, each once, and none recorded later.",
	RuleReadExtra:        "The result shows one moment: every selected event up to its Head, within the bounds, in order, each once, and none recorded later.",
	RuleReadHead:         "Head is the store's last position at the moment of the read, or Before - 1 if that is less; a forward read with More has the position of its last event.",
	RuleWait:             "Wait returns the head as soon as it is greater than after.",
	RuleHang:             "Every call returns; Wait as soon as the head is greater than after, or its context ends.",
	RuleFollowMissing:    "A follower sees every matching event up to its Head once, in order.",
	RuleFollowTwice:      "A follower sees every matching event up to its Head once, in order.",
	RuleFollowHead:       "Every batch carries the Head that it reached, and never sends the follower back.",
}

// Violation is a rule broken by a history.
type Violation struct {
	Rule Rule
	// Problem says which operations broke it and what was seen.
	Problem string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: %s\n\tthe contract: %s", v.Rule, v.Problem, v.Rule.Sentence())
}
