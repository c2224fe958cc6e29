package dcbtest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// moreCases check the Head and the More of reads. Both say how far a result is complete.
func moreCases() []Case {
	return []Case{
		readCase("Head is the last event if Limit left events out", ruleHeadCut,
			wantMore(dcb.All(), dcb.ReadOptions{Limit: 7}, 7, 1, 2, 3, 4, 5, 6, 7),
			wantMore(tagged("x"), dcb.ReadOptions{Limit: 1}, 1, 1),
			wantMore(tagged("x"), dcb.ReadOptions{Limit: 3}, 5, 1, 3, 5)),
		readCase("Head is the store's if exactly Limit events match", ruleHeadTop+" "+ruleMoreExactly,
			wantRead(dcb.All(), dcb.ReadOptions{Limit: 8}, 8, 1, 2, 3, 4, 5, 6, 7, 8),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: 4}, 8, 1, 3, 5, 7),
			wantRead(typed("first"), dcb.ReadOptions{Limit: 1}, 8, 1),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: 1, After: 5}, 8, 7)),
		readCase("Head is Before - 1 if only Before left events out", ruleHeadTop,
			wantRead(tagged("x"), dcb.ReadOptions{Limit: 2, Before: 4}, 3, 1, 3),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: 2, Before: 5}, 4, 1, 3),
			wantMore(tagged("x"), dcb.ReadOptions{Limit: 2, Before: 6}, 3, 1, 3)),
		readCase("Head of a backward read is Before - 1, or the store's", ruleHeadBackward,
			wantRead(typed("first"), dcb.ReadOptions{Backwards: true}, 8, 1),
			wantMore(tagged("x"), dcb.ReadOptions{Backwards: true, Limit: 1}, 8, 7),
			wantRead(tagged("x"), dcb.ReadOptions{Backwards: true, Limit: 1, Before: 3}, 2, 1)),
		readCase("Head is the store's if later events do not match", ruleHeadTop,
			wantRead(typed("first"), dcb.ReadOptions{}, 8, 1),
			wantRead(tagged("absent"), dcb.ReadOptions{}, 8),
			wantRead(tagged("absent"), dcb.ReadOptions{Limit: 1}, 8),
			wantRead(dcb.All(), dcb.ReadOptions{After: 100}, 8)),
		readCase("More is false if nothing was left out", ruleMore,
			wantRead(dcb.All(), dcb.ReadOptions{}, 8, 1, 2, 3, 4, 5, 6, 7, 8),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: 5}, 8, 1, 3, 5, 7),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: 5, Backwards: true}, 8, 7, 5, 3, 1),
			wantRead(tagged("x"), dcb.ReadOptions{After: 3, Before: 7}, 6, 5),
			wantRead(tagged("absent"), dcb.ReadOptions{Limit: 1}, 8),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: math.MaxInt}, 8, 1, 3, 5, 7)),
		readCase("More is true if Limit left out an event", ruleMore,
			wantMore(dcb.All(), dcb.ReadOptions{Limit: 7}, 7, 1, 2, 3, 4, 5, 6, 7),
			wantMore(tagged("x"), dcb.ReadOptions{Limit: 3}, 5, 1, 3, 5),
			wantMore(tagged("x"), dcb.ReadOptions{Limit: 1, After: 3}, 5, 5)),
		readCase("More is true if Limit left out an older event backwards", ruleMore+" "+ruleHeadBackward,
			wantMore(dcb.All(), dcb.ReadOptions{Limit: 7, Backwards: true}, 8, 8, 7, 6, 5, 4, 3, 2),
			wantMore(tagged("x"), dcb.ReadOptions{Limit: 3, Backwards: true}, 8, 7, 5, 3),
			wantMore(tagged("x"), dcb.ReadOptions{Limit: 1, Backwards: true, Before: 7}, 6, 5)),
		readCase("More is false if exactly Limit events match", ruleMoreExactly,
			wantRead(dcb.All(), dcb.ReadOptions{Limit: 8}, 8, 1, 2, 3, 4, 5, 6, 7, 8),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: 4}, 8, 1, 3, 5, 7),
			wantRead(tagged("z"), dcb.ReadOptions{Limit: 1}, 8, 6)),
		readCase("More is false if exactly Limit events match backwards", ruleMoreExactly,
			wantRead(dcb.All(), dcb.ReadOptions{Limit: 8, Backwards: true}, 8, 8, 7, 6, 5, 4, 3, 2, 1),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: 4, Backwards: true}, 8, 7, 5, 3, 1),
			wantRead(tagged("z"), dcb.ReadOptions{Limit: 1, Backwards: true}, 8, 6)),
		readCase("More ignores events outside After and Before", ruleMore,
			wantRead(tagged("x"), dcb.ReadOptions{Limit: 2, Before: 5}, 4, 1, 3),
			wantMore(tagged("x"), dcb.ReadOptions{Limit: 2, Before: 6}, 3, 1, 3),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: 2, After: 3}, 8, 5, 7),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: 2, After: 3, Backwards: true}, 8, 7, 5),
			wantMore(tagged("x"), dcb.ReadOptions{Limit: 2, After: 2, Backwards: true}, 8, 7, 5),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: 1, After: 2, Before: 5, Backwards: true}, 4, 3)),
		readCase("More ignores events that do not match", ruleMore,
			wantRead(typed("first"), dcb.ReadOptions{Limit: 1}, 8, 1),
			wantRead(typed("B"), dcb.ReadOptions{Limit: 2, Backwards: true}, 8, 5, 4),
			wantRead(dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}}, dcb.ReadOptions{Limit: 2}, 8, 3, 7),
			wantMore(dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}}, dcb.ReadOptions{Limit: 1}, 3, 3)),
		{
			Name: "Read/More is false and Head is 0 on an empty store",
			Rule: ruleMore + " " + ruleHeadEmpty,
			Run: func(t *T) {
				for _, opts := range []dcb.ReadOptions{{}, {Limit: 1}, {Limit: 1, Backwards: true}, {After: 5, Before: 9}} {
					t.wantPositions(t.read(dcb.All(), opts), wantRead(dcb.All(), opts, 0), fmt.Sprintf("Read(%+v)", opts))
				}
			},
		},
		{
			Name: "Read/continued while More is true needs no extra read",
			Rule: ruleMore + " " + ruleMoreExactly + " " + ruleContinue,
			Run:  continueWhileMore,
		},
	}
}

// continueWhileMore reads in steps of Limit. The number of reads must be the smallest possible.
func continueWhileMore(t *T) {
	log := t.appendRandom(rand.New(rand.NewPCG(19, 20)), 120)
	for _, q := range []dcb.Query{dcb.All(), tagged("tag1"), typed("T2"), tagged("absent")} {
		whole, _ := log.Read(q, dcb.ReadOptions{})
		for _, limit := range []int{1, 7, max(1, len(whole.Events)/2), max(1, len(whole.Events)), 1000} {
			for _, backwards := range []bool{false, true} {
				opts := dcb.ReadOptions{Limit: limit, Backwards: backwards}
				want, _ := log.Read(q, dcb.ReadOptions{Backwards: backwards})
				reads := max(1, (len(want.Events)+limit-1)/limit)
				t.wantResult(t.readWhileMore(q, opts, reads), want,
					fmt.Sprintf("reading %s with %+v in %d steps", describe.Query(q), opts, reads))
			}
		}
	}
}

// readWhileMore reads until More is false and returns all events. It takes at most the given number
// of reads.
func (t *T) readWhileMore(q dcb.Query, opts dcb.ReadOptions, reads int) dcb.ReadResult {
	whole := dcb.ReadResult{More: true}
	for n := 0; whole.More; n++ {
		if n == reads {
			t.Fatalf("read %d of %s with %+v returned More true, want false", n, describe.Query(q), opts)
		}
		result := t.read(q, opts)
		whole.Events, whole.More = append(whole.Events, result.Events...), result.More
		if !opts.Backwards {
			whole.Head, opts.After = result.Head, result.Head
			continue
		}
		if n == 0 {
			whole.Head = result.Head // later reads have a lower Before, and so a lower Head
		}
		if last := len(result.Events) - 1; last >= 0 {
			opts.Before = result.Events[last].Position
		}
	}
	return whole
}
