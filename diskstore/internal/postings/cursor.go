package postings

// Cursor walks the part of a list that lies between two offsets, forwards or backwards. It is used again by Reset, and allocates nothing.
type Cursor struct {
	list      List
	from, to  uint32
	backwards bool
	err       error

	// The window is what of the plain list, or of the unpacked block, lies between from and to. The cursor is at i, or at its end if the window is empty.
	lo, hi, i int

	block       int // of a packed list, the one that is unpacked
	first, last int // blocks that may have offsets between from and to
	unpacked    [BlockLen]uint32
}

// Reset puts the cursor at the first offset of l that is not below from, or if backwards at the last that is not above to.
func (c *Cursor) Reset(l List, from, to uint32, backwards bool) {
	c.list, c.from, c.to, c.backwards, c.err = l, from, to, backwards, nil
	c.block, c.first, c.last = 0, 0, 0
	switch {
	case l.n == 0 || from > to:
		c.end()
	case l.plain != nil:
		c.open(len(l.plain))
	case l.n == 1:
		c.unpacked[0] = l.arg
		c.open(1)
	case l.n <= BlockLen:
		if c.err = c.list.unpackFew(&c.unpacked); c.err != nil {
			c.end()
			return
		}
		c.open(int(l.n))
	default:
		c.resetLong()
	}
}

func (c *Cursor) resetLong() {
	end := c.list.blockCount() - 1
	c.last, c.err = c.list.searchDown(c.to, 0, end)
	if c.err == nil && c.last > 0 && c.from > 0 {
		// The block before the first one that begins above from may end with what is not below it.
		c.first, c.err = c.list.searchDown(c.from, 0, c.last)
		c.first = max(c.first, 0)
	}
	if c.err != nil || c.last < 0 {
		c.end()
		return
	}
	c.turn(c.firstBlock())
}

func (c *Cursor) firstBlock() int {
	if c.backwards {
		return c.last
	}
	return c.first
}

// Current returns the offset that the cursor is at; not ok, if it is at the end, or Err has the reason.
func (c *Cursor) Current() (offset uint32, ok bool) {
	if c.lo == c.hi {
		return 0, false
	}
	return c.all()[c.i], true
}

// Err returns what went wrong. The cursor is at its end then.
func (c *Cursor) Err() error { return c.err }

// Next moves on to the next offset, or to the end.
func (c *Cursor) Next() {
	if c.lo == c.hi {
		return
	}
	if c.backwards {
		c.i--
		if c.i < c.lo {
			c.turn(c.block - 1)
		}
		return
	}
	c.i++
	if c.i >= c.hi {
		c.turn(c.block + 1)
	}
}

// Seek moves on to the first offset that is not below the given one, or if backwards to the last that is not above it, or to the end. It
// never moves back.
func (c *Cursor) Seek(offset uint32) {
	if c.lo == c.hi {
		return
	}
	if c.backwards {
		c.seekDown(offset)
	} else {
		c.seekUp(offset)
	}
}

// Remaining returns how many offsets are left, with the current one. Of a list of more than 128 it may return more, by less than 256. It is 0 only at the end.
func (c *Cursor) Remaining() int {
	if c.lo == c.hi {
		return 0
	}
	if c.backwards {
		return c.i - c.lo + 1 + (c.block-c.first)*BlockLen
	}
	left := c.hi - c.i
	if c.block < c.last {
		left += (c.last-c.block-1)*BlockLen + c.list.blockLen(c.last)
	}
	return left
}

// all returns the offsets of which the window is a part.
func (c *Cursor) all() []uint32 {
	if c.list.plain != nil {
		return c.list.plain
	}
	return c.unpacked[:]
}

func (c *Cursor) end() { c.lo, c.hi, c.i = 0, 0, 0 }

// open makes the window of the n offsets that are at hand, and moves to where the cursor enters it.
func (c *Cursor) open(n int) {
	all := c.all()[:n]
	c.lo, c.hi = 0, n
	if all[0] < c.from {
		c.lo = notBelow(all, 0, n, c.from)
	}
	if all[n-1] > c.to {
		c.hi = notBelow(all, c.lo, n, c.to+1) // which is no overflow, as there is something above
	}
	c.i = c.lo
	if c.backwards {
		c.i = c.hi - 1
	}
	if c.lo >= c.hi {
		c.end()
	}
}

// turn moves to where the cursor enters a block, or the one behind it if nothing in that is between from and to, and so on.
func (c *Cursor) turn(block int) {
	for c.end(); block >= c.first && block <= c.last; {
		n, err := c.list.unpackOf(block, &c.unpacked)
		if err != nil {
			c.err = err
			return
		}
		c.block = block
		if c.open(n); c.lo < c.hi {
			return
		}
		if c.backwards {
			block--
		} else {
			block++
		}
	}
}

func (c *Cursor) seekUp(offset uint32) {
	for {
		all := c.all()
		if all[c.hi-1] >= offset {
			c.i = gallopUp(all, c.i, c.hi, offset)
			return
		}
		if c.block == c.last {
			c.end()
			return
		}
		block, err := c.list.searchUp(offset, c.block+1, c.last)
		if err != nil {
			c.end()
			c.err = err
			return
		}
		if c.turn(max(block, c.block+1)); c.lo == c.hi {
			return
		}
	}
}

func (c *Cursor) seekDown(offset uint32) {
	for {
		all := c.all()
		if all[c.lo] <= offset {
			c.i = gallopDown(all, c.lo, c.i, offset)
			return
		}
		if c.block == c.first {
			c.end()
			return
		}
		block, err := c.list.searchDown(offset, c.first, c.block-1)
		if err != nil || block < c.first {
			c.end()
			c.err = err
			return
		}
		if c.turn(block); c.lo == c.hi {
			return
		}
	}
}

// notBelow returns where from lo to hi the first offset is that is not below the given one, and hi if there is none.
func notBelow(all []uint32, lo, hi int, offset uint32) int {
	for lo < hi {
		middle := int(uint(lo+hi) / 2)
		if all[middle] < offset {
			lo = middle + 1
		} else {
			hi = middle
		}
	}
	return lo
}

// gallopUp is notBelow for an offset that is thought to be near lo.
func gallopUp(all []uint32, lo, hi int, offset uint32) int {
	for step := 1; lo < hi; step *= 2 {
		probe := min(lo+step, hi) - 1
		if all[probe] >= offset {
			return notBelow(all, lo, probe, offset)
		}
		lo = probe + 1
	}
	return lo
}

// gallopDown returns where from lo to i the last offset is that is not above the given one, and is thought to be near i. That at lo is not above it.
func gallopDown(all []uint32, lo, i int, offset uint32) int {
	hi := i + 1 // all from here on are above
	for step := 1; ; step *= 2 {
		probe := max(hi-step, lo)
		if all[probe] <= offset {
			for probe+1 < hi {
				middle := int(uint(probe+hi) / 2)
				if all[middle] <= offset {
					probe = middle
				} else {
					hi = middle
				}
			}
			return probe
		}
		hi = probe
	}
}
