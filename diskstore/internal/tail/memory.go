package tail

import "sync/atomic"

// arena holds lists. A list has room for a number of elements that follows from its length; when that is full it is copied to where there
// is more, and the old one stays for those who are reading it.
type arena struct {
	used  uint32 // of the last page
	pages atomic.Pointer[[][]uint32]
}

// An address is the number of a page, and the place in it. A list that is longer than a page has one of its own size.
const (
	arenaBits = 14
	arenaPage = 1 << arenaBits
)

// slice returns the elements of a list.
func (a *arena) slice(list uint64) []uint32 {
	length := uint32(list)
	if length == 0 {
		return nil
	}
	address := uint32(list >> 32)
	page := (*a.pages.Load())[address>>arenaBits]
	return page[address%arenaPage:][:length:length]
}

// push returns list with one element more.
func (a *arena) push(list uint64, element uint32) uint64 {
	length, address := uint32(list), uint32(list>>32)
	if length == room(length) {
		old := a.slice(list)
		address = a.allocate(room(length + 1))
		copy((*a.pages.Load())[address>>arenaBits][address%arenaPage:], old)
	}
	(*a.pages.Load())[address>>arenaBits][address%arenaPage+length] = element
	return uint64(address)<<32 | uint64(length+1)
}

// room returns for how many elements a list of that length has room. Most terms have one event, or a few.
func room(length uint32) uint32 {
	switch {
	case length <= 1:
		return length
	case length <= 4:
		return 4
	}
	r := uint32(16)
	for r < length {
		r *= 2
	}
	return r
}

func (a *arena) allocate(elements uint32) (address uint32) {
	var pages [][]uint32
	if published := a.pages.Load(); published != nil {
		pages = *published
	}
	if len(pages) == 0 || a.used+elements > arenaPage {
		pages = append(pages, make([]uint32, max(elements, arenaPage)))
		a.pages.Store(&pages)
		a.used = 0
	}
	address = uint32(len(pages)-1)<<arenaBits | a.used
	a.used += elements
	return address
}
