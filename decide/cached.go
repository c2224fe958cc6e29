package decide

import (
	"container/list"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/dcbstore/dcb"
)

// Cached returns a function that makes the same projections as the given one, and keeps their states: those of the most keys that were asked for
// last. A projection that it returns begins where the last decision with that key left off, so it reads only what came since. Any number of
// goroutines may call it, and each gets a projection of its own. The given function must always make the same projection for the same key.
//
//	seatsTaken := decide.Cached(10_000, seatsTaken)
//
// A state that is kept is never wrong, only older: the projection is brought to the head before a decision looks at it. What is kept
// belongs to the runner that read it; another one begins anew, as it must when the store was replaced by an older copy of itself.
// The projections are used as they are made, without further tags.
//
// States are copied by assignment. So S must not hold anything that could be changed (maps, slices, pointers, interfaces), unless it has a method
// Clone() S that copies all of that; otherwise Cached panics, when the program starts rather than when two decisions meet.
func Cached[K comparable, S any](most int, projection func(key K) *Projection[S]) func(key K) *Projection[S] {
	state := reflect.TypeFor[S]()
	if !state.Implements(reflect.TypeFor[cloner[S]]()) && !isPlain(state) {
		panic(fmt.Sprintf("decide: cached: %v can be changed by who holds it; give it a method Clone() %v", state, state))
	}
	if most < 1 {
		panic(fmt.Sprintf("decide: cached: at most %d projections; it must be 1 or more", most))
	}
	kept := &cache[K, S]{most: most, slots: make(map[K]*list.Element)}
	return func(key K) *Projection[S] {
		v := projection(key)
		if v != nil {
			v.slot, v.cached = kept.slot(key), true
		}
		return v
	}
}

type cloner[S any] interface{ Clone() S }

func clone[S any](state S) S {
	if c, ok := any(state).(cloner[S]); ok {
		return c.Clone()
	}
	return state
}

// cache holds the slots of the keys that were asked for last.
type cache[K comparable, S any] struct {
	most int

	mu     sync.Mutex // guards what follows
	slots  map[K]*list.Element
	recent list.List // of entries, the latest first
}

type entry[K comparable, S any] struct {
	key  K
	slot *slot[S]
}

// slot returns that of a key. One that was dropped may still be in use; what is put into it then is forgotten with it.
func (c *cache[K, S]) slot(key K) *slot[S] {
	added := &slot[S]{}
	if key != key { // NaN, which would never be found again
		return added
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.slots[key]; ok {
		c.recent.MoveToFront(found)
		return found.Value.(*entry[K, S]).slot
	}
	if c.recent.Len() == c.most {
		oldest := c.recent.Back()
		c.recent.Remove(oldest)
		delete(c.slots, oldest.Value.(*entry[K, S]).key)
	}
	c.slots[key] = c.recent.PushFront(&entry[K, S]{key: key, slot: added})
	return added
}

// slot is where the state of a projection is kept between decisions. Nobody changes a kept state; it is replaced as a whole.
type slot[S any] struct{ kept atomic.Pointer[kept[S]] }

type kept[S any] struct {
	runner *Runner
	state  S
	seen   dcb.Position
}

// restore makes a projection begin where another left off, if that has seen more.
func (v *Projection[S]) restore(d *Runner) {
	if v.slot == nil {
		return
	}
	if k := v.slot.kept.Load(); k != nil && k.runner == d && k.seen > v.seen {
		v.restored = v.restored || v.seen == 0
		v.state, v.seen = clone(k.state), k.seen
	}
}

// worthKeeping is after how many positions without an event of its own a projection is kept again. Often enough that projections of one
// decision stay near each other.
const worthKeeping = near / 4

// publish keeps what v has arrived at, unless something newer is there.
func (v *Projection[S]) publish() {
	if v.slot == nil {
		return
	}
	for {
		old := v.slot.kept.Load()
		if old != nil && old.runner == v.runner && (old.seen >= v.seen || !v.folded && v.seen-old.seen < worthKeeping) {
			return
		}
		next := &kept[S]{runner: v.runner, state: clone(v.state), seen: v.seen}
		if v.slot.kept.CompareAndSwap(old, next) {
			v.folded = false
			return
		}
	}
}

// forget makes v as if it had read nothing, if it began with what was kept, so that its initial state is as it was made.
func (v *Projection[S]) forget() bool {
	if !v.restored {
		return false
	}
	v.slot.kept.Store(nil)
	v.state, v.seen, v.restored = v.initial, 0, false
	return true
}
