package postings

import "math"

// Verify reads all of the list. It returns what is wrong with it, if its offsets do not ascend or are not below limit.
func (l List) Verify(limit uint32) error {
	if l.n == 0 {
		return nil
	}
	var c Cursor
	n := 0
	for c.Reset(l, 0, math.MaxUint32, false); c.lo < c.hi; c.turn(c.block + 1) {
		all := c.all()[c.lo:c.hi]
		for i := 1; i < len(all); i++ {
			if all[i] <= all[i-1] {
				return l.broken("it does not ascend", c.block)
			}
		}
		if all[len(all)-1] >= limit {
			return l.broken("an offset is beyond the last event", c.block)
		}
		n += len(all)
		if l.many() && c.block%span == 0 {
			top, err := l.top(c.block / span)
			if err != nil {
				return err
			}
			if top != all[0] {
				return l.broken("the top of its span is another", c.block)
			}
		}
	}
	if c.err == nil && n != l.Len() {
		return l.broken("it has another length", c.block)
	}
	return c.err
}
