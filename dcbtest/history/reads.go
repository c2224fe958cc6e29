package history

import (
	"bytes"
	"iter"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// checkRead judges what a read returned by its own head.
func (c *checker) checkRead(o *Operation) {
	head, opts := o.Result.Head, o.Options
	upTo := head
	if opts.Before > 0 {
		upTo = min(upTo, opts.Before-1)
	}
	want := c.matches(o.Query, opts.After, upTo, opts.Backwards)
	if !c.checkEvents(o, limited(want, opts.Limit), RuleReadMissing, RuleReadExtra) {
		return
	}
	full := opts.Limit > 0 && len(o.Result.Events) == opts.Limit && !opts.Backwards
	if !full {
		c.checkReadHead(o)
		return
	}
	last := o.Result.Events[len(o.Result.Events)-1].Position
	bound := c.last()
	if opts.Before > 0 {
		bound = min(bound, opts.Before-1)
	}
	switch next := c.first(o.Query, last, bound); {
	case head > last && next != 0 && next <= head:
		c.report(RuleReadHead, "the limit left out position %d, so the head should be %d, in\n\t%v", next, last, o)
	case head > last || next == 0 || !c.couldBeVisible(next, o.End):
		c.checkReadHead(o) // the limit left nothing out
	}
}

// checkReadHead checks the head of a read that returned everything up to it. A head just before
// Before only shows that the store's last position was no lower.
func (c *checker) checkReadHead(o *Operation) {
	head, before := o.Result.Head, o.Options.Before
	switch {
	case before > 0 && head >= before:
		c.report(RuleReadHead, "the head is %d, but Before is %d, in\n\t%v", head, before, o)
	case head+1 != before:
		c.checkHead(o, head)
	}
}

// checkBatch judges a batch of a follower, which may have been read long before it was asked for.
func (c *checker) checkBatch(o *Operation) {
	if o.Result.Head < o.After {
		c.report(RuleFollowHead, "the head fell below %d in\n\t%v", o.After, o)
		return
	}
	want := c.matches(o.Query, o.After, o.Result.Head, false)
	c.checkEvents(o, want, RuleFollowMissing, RuleFollowTwice)
}

// checkEvents compares what o returned with the positions that it should have returned, and reports the first difference.
func (c *checker) checkEvents(o *Operation, want iter.Seq[dcb.Position], missing, extra Rule) bool {
	next, stop := iter.Pull(want)
	defer stop()
	backwards := o.Method == Read && o.Options.Backwards
	for i := range o.Result.Events {
		got := &o.Result.Events[i]
		event := c.at(got.Position)
		if event == nil || !bytes.Equal(got.Data, event.Data) {
			c.report(RuleVanished, "the final sequence does not hold position %d, %s, as was returned by\n\t%v", got.Position, dataOf(got.Event), o)
			return false
		}
		wanted, ok := next()
		switch {
		case !ok || wanted != got.Position && (got.Position < wanted) != backwards:
			c.report(extra, "position %d (%s) %s, in\n\t%v", got.Position, dataOf(got.Event), wrongly(o, i), o)
			return false
		case wanted != got.Position:
			c.report(missing, "position %d (%s) is not there, in\n\t%v", wanted, dataOf(c.at(wanted).Event), o)
			return false
		}
		if problem := describe.Difference(got.Event, event.Event); problem != "" {
			c.report(RuleAltered, "position %d %s, as it is in the final sequence, in\n\t%v", got.Position, problem, o)
			return false
		}
		if !got.RecordedAt.Equal(event.RecordedAt) {
			c.report(RuleClock, "position %d was recorded at %v, but at %v in\n\t%v", got.Position, event.RecordedAt, got.RecordedAt, o)
			return false
		}
	}
	if wanted, ok := next(); ok {
		c.report(missing, "position %d (%s) is not there, in\n\t%v", wanted, dataOf(c.at(wanted).Event), o)
		return false
	}
	return true
}

// wrongly says what is wrong with the i-th event of a result, which should not be there.
func wrongly(o *Operation, i int) string {
	events := o.Result.Events
	for j := range i {
		if events[j].Position == events[i].Position {
			return "is there twice"
		}
	}
	switch {
	case !o.Query.Matches(events[i].Event):
		return "does not match the query"
	case events[i].Position > o.Result.Head:
		return "is beyond the head"
	case o.Method == Follow && events[i].Position <= o.After:
		return "was in an earlier batch, or skipped by one"
	}
	return "is out of bounds or out of order"
}

// limited yields the first limit of positions, all of them if limit is 0.
func limited(positions iter.Seq[dcb.Position], limit int) iter.Seq[dcb.Position] {
	if limit <= 0 {
		return positions
	}
	return func(yield func(dcb.Position) bool) {
		left := limit
		for position := range positions {
			if !yield(position) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}
