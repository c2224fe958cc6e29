package history

import "fmt"

// Rule is a rule of the contract that a history can break. Its value names the violation.
type Rule string

// The rules that [History.Check] checks, in the groups of the package documentation.
const (
	// The final sequence by itself.

	RuleDense     Rule = "positions are not dense"
	RuleTime      Rule = "RecordedAt is wrong"
	RuleDuplicate Rule = "event or ID is recorded twice"

	// The final sequence against the appends.

	RuleUnknownEvent Rule = "event was sent by no append"
	RuleAltered      Rule = "event was altered"
	RulePartial      Rule = "append is recorded in part"
	RuleConsecutive  Rule = "events of an append are not consecutive"
	RuleLost         Rule = "acknowledged append is lost"
	RulePosition     Rule = "Append returned a wrong position"
	RuleRejected     Rule = "rejected append is recorded"

	// Decisions.

	RuleCondition        Rule = "append is recorded although its condition fails"
	RuleSpuriousConflict Rule = "conflict without a conflicting event"
	RuleConflictPosition Rule = "conflict has a wrong position"
	RuleRetry            Rule = "retry of a recorded append is rejected"
	RuleDuplicateID      Rule = "ErrDuplicateID is wrong or missing"
	RuleError            Rule = "unexpected error"
	RuleHang             Rule = "call hangs"

	// The prefix that a call saw.

	RuleReadMissing   Rule = "read misses an event"
	RuleReadExtra     Rule = "read returns a wrong event"
	RuleReadHead      Rule = "read returns a wrong Head"
	RuleReadMore      Rule = "read returns a wrong More"
	RuleWait          Rule = "Wait returned too early"
	RuleFollowMissing Rule = "follower misses an event"
	RuleFollowExtra   Rule = "follower gets a wrong event"
	RuleFollowHead    Rule = "Head of a batch fell"
	RuleFollowMore    Rule = "batch has a wrong More"
	RulePartlyVisible Rule = "append is visible in part"
	RuleVanished      Rule = "visible event vanished"

	// Real time.

	RuleOrder       Rule = "event became visible below a visible position"
	RuleStaleHead   Rule = "head misses an acknowledged append"
	RuleFallingHead Rule = "head fell"
)

// Sentence returns the sentence of the contract that a violation of r breaks.
func (r Rule) Sentence() string {
	sentence, ok := sentences[r]
	if !ok {
		panic("history: no sentence for the rule " + string(r))
	}
	return sentence
}

const (
	atomicStep = "One append is one atomic step: its events get consecutive positions and become visible together, " +
		"or none is recorded. No event of another append comes between them."
	onePrefix = "One read sees one prefix of the sequence: every matching event up to its Head, within its bounds, " +
		"in position order, each once, and none recorded later."
	followOnce = "A follower sees every matching event up to its Head once, in position order."
)

// sentences holds the sentences of package dcb and its contract. Several rules may break one.
var sentences = map[Rule]string{
	RuleDense:     "The first event has position 1, and there are no gaps.",
	RuleTime:      "RecordedAt is UTC, in whole microseconds, and never falls as Position rises.",
	RuleDuplicate: "An ID is unique in the store. An append that is sent again returns its position and records nothing.",

	RuleUnknownEvent: "The sequence holds the events that were appended, and no others.",
	RuleAltered:      "An event is recorded and returned as it was sent: type, tags as a set, data, ID and metadata.",
	RulePartial:      atomicStep,
	RuleConsecutive:  atomicStep,
	RuleLost:         "An append that returned without an error is durable.",
	RulePosition:     "Append returns the position of the last of its events, also when the append is sent again.",
	RuleRejected:     "An append that failed recorded nothing, unless its outcome is unknown.",

	RuleCondition: "If an event after condition.After matches the condition, nothing is recorded. " +
		"Checking the condition and recording the events are one indivisible step.",
	RuleSpuriousConflict: "Appends that concern different things never conflict and never abort each other.",
	RuleConflictPosition: "ConflictError.Position is the position of an event that matches the condition, after its After.",
	RuleRetry:            "The store checks IDs before the condition, so the condition cannot fail the retry of a recorded append.",
	RuleDuplicateID:      "Append fails with ErrDuplicateID if one of its IDs is recorded in another way, and only then.",
	RuleError:            "A valid call on an open store that can answer does not fail, whatever happens to other calls.",
	RuleHang:             "Every call returns; Wait as soon as the head is greater than after, or its context ends.",

	RuleReadMissing: onePrefix,
	RuleReadExtra:   onePrefix,
	RuleReadHead: "Head is the store's last position at the moment of the read, or Before - 1 if that is less. " +
		"For a forward read with More it is the position of the last event returned.",
	RuleReadMore:      "More is true if Limit left out at least one matching event within After and Before, and only then.",
	RuleWait:          "Wait returns the head as soon as it is greater than after.",
	RuleFollowMissing: followOnce,
	RuleFollowExtra:   followOnce,
	RuleFollowHead:    "Every batch carries its Head, which is never below the Head of the previous batch.",
	RuleFollowMore:    "A batch has More only while further batches are known to follow at once.",
	RulePartlyVisible: atomicStep,
	RuleVanished:      "The sequence only grows: an event that was visible stays at its position.",

	RuleOrder:       "After a reader has seen position n, no new event appears at or below n.",
	RuleStaleHead:   "A call that begins after an append returned sees that append.",
	RuleFallingHead: "A call that begins after another call ended sees at least the same prefix, through any handle.",
}

// Violation is one place where a history breaks a rule.
type Violation struct {
	Rule Rule
	// Problem describes what was seen, with the operations that saw it.
	Problem string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: %s\n\tthe contract: %s", v.Rule, v.Problem, v.Rule.Sentence())
}
