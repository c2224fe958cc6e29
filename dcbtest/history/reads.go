package history

import (
	"bytes"
	"iter"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// checkRead checks a read against the prefix of the sequence that ends at its Head.
func (c *checker) checkRead(o *Operation) {
	head, opts := o.Result.Head, o.Options
	if opts.Top(head) != head {
		c.report(RuleReadHead, "the Head is %d, but Before is %d, in\n\t%v", head, opts.Before, o)
		return
	}
	want := c.matches(o.Query, opts.After, head, opts.Backwards)
	if !c.checkEvents(o, limited(want, opts.Limit), RuleReadMissing, RuleReadExtra) {
		return
	}
	if opts.Backwards {
		c.checkBackwardEnd(o)
	} else {
		c.checkForwardEnd(o)
	}
}

// checkForwardEnd checks Head and More of a forward read whose events are right.
func (c *checker) checkForwardEnd(o *Operation) {
	head, events := o.Result.Head, o.Result.Events
	if !isFull(o) {
		if o.Result.More {
			c.report(RuleReadMore, "More is true, but %d events are below the limit, in\n\t%v", len(events), o)
			return
		}
		c.checkReadHead(o)
		return
	}
	last, next := events[len(events)-1].Position, c.nextMatch(o)
	switch {
	case o.Result.More && next == 0:
		c.report(RuleReadMore, "More is true, but no event matched after position %d and before the end of\n\t%v", last, o)
	case o.Result.More && head != last:
		c.report(RuleReadHead, "the Head is %d, but the last event with More is at position %d, in\n\t%v", head, last, o)
	case o.Result.More:
	case next != 0 && next <= max(head, c.visible.before(o.Start).position):
		c.report(RuleReadMore, "More is false, but position %d was left out, in\n\t%v", next, o)
	default:
		c.checkReadHead(o)
	}
}

// isFull reports whether o returned as many events as its limit allows.
func isFull(o *Operation) bool {
	return o.Options.Limit > 0 && len(o.Result.Events) == o.Options.Limit
}

// nextMatch returns the first matching event after those that o, a full forward read, returned. It
// returns 0 if there is none, or if it cannot have been visible to o.
func (c *checker) nextMatch(o *Operation) dcb.Position {
	if o.Options.Backwards || !isFull(o) {
		return 0
	}
	last := o.Result.Events[o.Options.Limit-1].Position
	next := c.firstMatch(o.Query, last, o.Options.Top(c.last()))
	if next == 0 || !c.couldBeVisible(next, o.End) {
		return 0
	}
	return next
}

// checkBackwardEnd checks Head and More of a backward read whose events are right.
func (c *checker) checkBackwardEnd(o *Operation) {
	older := dcb.Position(0)
	if isFull(o) {
		oldest := o.Result.Events[o.Options.Limit-1].Position
		older = c.firstMatch(o.Query, o.Options.After, oldest-1)
	}
	switch {
	case o.Result.More && older == 0:
		c.report(RuleReadMore, "More is true, but no older event was left out, in\n\t%v", o)
	case !o.Result.More && older != 0:
		c.report(RuleReadMore, "More is false, but position %d was left out, in\n\t%v", older, o)
	default:
		c.checkReadHead(o)
	}
}

// checkReadHead checks the Head of a read that is complete up to it. A Head just before Before is
// only a lower bound of the store's last position.
func (c *checker) checkReadHead(o *Operation) {
	if o.Result.Head+1 != o.Options.Before {
		c.checkHead(o, o.Result.Head)
	}
}

// checkBatch checks a batch of a follower. The follower may have got it long after it was read, so
// its Head may be old.
func (c *checker) checkBatch(o *Operation) {
	head := o.Result.Head
	if head < o.After {
		c.report(RuleFollowHead, "the Head is below %d in\n\t%v", o.After, o)
		return
	}
	want := c.matches(o.Query, o.After, head, false)
	if !c.checkEvents(o, want, RuleFollowMissing, RuleFollowExtra) || !o.Result.More {
		return
	}
	if next := c.firstMatch(o.Query, head, c.last()); next == 0 || !c.couldBeVisible(next, o.End) {
		c.report(RuleFollowMore, "More is true, but no event matched after position %d and before the end of\n\t%v", head, o)
	}
}

// checkEvents compares the events of o with those that it should have returned. It reports the
// first difference, and whether there is none.
func (c *checker) checkEvents(o *Operation, want iter.Seq[dcb.Position], missing, extra Rule) bool {
	next, stop := iter.Pull(want)
	defer stop()
	backwards := o.Method == Read && o.Options.Backwards
	for i := range o.Result.Events {
		got := &o.Result.Events[i]
		recorded := c.at(got.Position)
		if recorded == nil || !bytes.Equal(got.Data, recorded.Data) {
			c.report(RuleVanished, "the final sequence does not have position %d with data %s, which was returned by\n\t%v",
				got.Position, describeData(got.Event), o)
			return false
		}
		wanted, ok := next()
		switch {
		case !ok || wanted != got.Position && (got.Position < wanted) != backwards:
			c.report(extra, "position %d (%s) %s, in\n\t%v", got.Position, describeData(got.Event), c.whyExtra(o, i), o)
			return false
		case wanted != got.Position:
			c.reportMissing(missing, wanted, o)
			return false
		}
		if !c.checkEvent(got, recorded, o) {
			return false
		}
	}
	if wanted, ok := next(); ok {
		c.reportMissing(missing, wanted, o)
		return false
	}
	return true
}

func (c *checker) reportMissing(rule Rule, position dcb.Position, o *Operation) {
	c.report(rule, "position %d (%s) is missing in\n\t%v", position, describeData(c.at(position).Event), o)
}

// checkEvent compares an event that o returned with the recorded one.
func (c *checker) checkEvent(got, recorded *dcb.SequencedEvent, o *Operation) bool {
	if difference := describe.Difference(got.Event, recorded.Event); difference != "" {
		c.report(RuleAltered, "position %d %s, as in the final sequence, in\n\t%v", got.Position, difference, o)
		return false
	}
	if !got.RecordedAt.Equal(recorded.RecordedAt) {
		c.report(RuleTime, "position %d was recorded at %v, but at %v in\n\t%v", got.Position, recorded.RecordedAt, got.RecordedAt, o)
		return false
	}
	return true
}

// whyExtra returns why the i-th event of o should not be there.
func (c *checker) whyExtra(o *Operation, i int) string {
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
		return "is beyond the Head"
	case o.Method == Follow && events[i].Position <= o.After:
		return "is not above the Head of the previous batch"
	}
	return "is out of bounds or out of order"
}

// limited yields the first limit positions, or all if limit is 0.
func limited(positions iter.Seq[dcb.Position], limit int) iter.Seq[dcb.Position] {
	if limit <= 0 {
		return positions
	}
	return func(yield func(dcb.Position) bool) {
		remaining := limit
		for position := range positions {
			if !yield(position) {
				return
			}
			if remaining--; remaining == 0 {
				return
			}
		}
	}
}
