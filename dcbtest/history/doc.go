// Package history checks what concurrent callers of a store saw.
//
// A history is a record of calls: the arguments and the result of each, and when it began and
// ended. A [Workload] makes random calls from many goroutines and records them. A test with calls
// of its own records them with a [Recorder]. [History.Check] compares every call with the final
// sequence of the store, read after the last call, and reports each violation of the contract of
// package dcb:
//
//	h, err := history.Workload{Handles: []dcb.Store{store}}.Run(ctx)
//	if err != nil {
//		t.Fatal(err)
//	}
//	if err := h.Verify(ctx, store); err != nil {
//		t.Error(err) // all violations, and the seed
//	}
//
// The cases of package dcbtest check what one call does. A history reveals the faults that appear
// only when calls overlap: two conditions that both hold, a read of half an append, a missed
// wake-up.
//
// # What is correct
//
// A history is correct if one order of its calls explains it (it is linearizable):
//
//   - Each call takes effect at one moment between its start and its end. An append of unknown
//     outcome takes effect at any moment after its start, or never.
//   - An append that takes effect adds its events at the end of the sequence.
//   - Each result is the one that the contract prescribes for the sequence at that moment.
//
// A general checker has to search for such an order, which takes exponential time. A store of
// events reveals the order: positions are the order of the appends, and the head that a call
// returns places the call between two of them. So Check searches for nothing. It takes about as
// long as the calls took.
//
// # The rules, and why they suffice
//
// Each [Rule] is a sentence of the contract. There are five groups.
//
//  1. The final sequence by itself. Positions are dense ([RuleDense]), times do not fall
//     ([RuleTime]), and no ID occurs twice ([RuleDuplicate]).
//  2. The final sequence against the appends. An append sent each event ([RuleUnknownEvent],
//     [RuleAltered]). An append is recorded as a whole at consecutive positions ([RulePartial],
//     [RuleConsecutive]). The answer to its caller is true ([RuleLost], [RulePosition],
//     [RuleRejected]).
//  3. Decisions. An append is recorded only if no event between its condition's After and its own
//     first position matches ([RuleCondition]). It is rejected only if the cause existed before
//     the call returned ([RuleSpuriousConflict], [RuleConflictPosition], [RuleRetry],
//     [RuleDuplicateID]). No other error is allowed ([RuleError]), and every call returns
//     ([RuleHang]).
//  4. The prefix that a call saw. A read returns exactly the matching events up to its Head
//     ([RuleReadMissing], [RuleReadExtra], [RuleReadHead], [RuleReadMore]). A batch of a follower
//     returns those between two heads ([RuleFollowMissing], [RuleFollowExtra], [RuleFollowHead],
//     [RuleFollowMore]). Wait returns a head above its argument ([RuleWait]). A head never lies
//     within an append ([RulePartlyVisible]) or beyond the final sequence ([RuleVanished]).
//  5. Real time: [RuleOrder], [RuleStaleHead] and [RuleFallingHead].
//
// Groups 1 to 4 give each call its place in one order. An append stands where its positions are. A
// call that returned head h stands after the append that ends at h and before the next one. Calls
// with the same head need no order among themselves.
//
// It remains to check that the calls can have taken effect in this order. They cannot if a call
// began after the end of a call that follows it in the order. Otherwise they can: each call takes
// effect at the latest start among itself and the calls before it. So group 5 compares four kinds
// of pairs:
//
//	first       after it in the order         if the first began after the other ended
//	append      append at a higher position   RuleOrder
//	append      head that includes it         RuleOrder
//	head        append above it               RuleStaleHead
//	head        higher head                   RuleFallingHead
//
// Some results give only a lower bound of the head: a conflict, a read with More, a read whose Head
// is Before - 1, and a batch. Such a call can take effect as late as its end. So it is only
// compared as the other head in the second and the fourth row. One exception is the conflict of an
// append that another attempt records: it took effect before that attempt, which [RuleRetry]
// checks.
//
// No rule reports what a correct store can do. The clock is read before each call and after it, so
// the real moments of a call lie between its Start and its End. Calls that only touch are in no
// order. An append of unknown outcome is recorded as a whole or not at all, within its condition,
// and above everything that was visible before it began. Nothing else is required of it.
//
// # What is not checked
//
//   - Which of several overlapping attempts of one append recorded it. It suffices that one of them
//     may have.
//   - How old a batch of a follower is. A follower that does not reach the head in the end hangs.
//   - Whether RecordedAt is near the real time, and how long a call takes before it counts as hung.
//   - What a crash loses after the final sequence was read, ownership of bytes, limits of
//     arguments, and texts of errors. Package dcbtest has cases for most of these.
//
// # Where to start reading
//
// [History] and [Operation] are the data. check.go has the steps of Check. The groups are in
// sequence.go (1 and 2), appends.go (2 and 3), reads.go (4) and visibility.go (5). The workload is
// in workload.go, caller.go, follower.go and wakeup.go.
//
// The tests run Check on a history made by hand, with one fault at a time, and on stores that are
// wrong only when calls overlap.
package history
