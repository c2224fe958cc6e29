package decide

import (
	"container/list"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/dcbstore/dcb"
)

// Cached returns a function that makes the same projections as projection and keeps their states,
// for at most most keys. If there are more, it drops the key that was not used for the longest
// time. A projection that the returned function makes starts with the state that the last
// decision with that key left, so it reads only the events since then.
//
//	seatsTaken := decide.Cached(10_000, seatsTaken)
//
// Any number of goroutines may call the returned function. Each call makes a projection of its
// own, without further tags or options. The function projection must always make the same
// projection for the same key.
//
// A cached state is never wrong, only older: the projection is read up to the head before a
// decision uses it. A cached state belongs to the runner that read it. Another runner starts with
// the initial state, because its store may be an older copy.
//
// States are copied by assignment. A type S that holds maps, slices, pointers or interfaces needs
// a method Clone() S that copies all of them. Cached panics if S lacks it, or if most is less
// than 1.
func Cached[K comparable, S any](most int, projection func(key K) *Projection[S]) func(key K) *Projection[S] {
	state := reflect.TypeFor[S]()
	if !state.Implements(reflect.TypeFor[cloner[S]]()) && !copiesByAssignment(state) {
		panic(fmt.Sprintf("decide: cached: %v holds memory that two decisions would share; give it a method Clone() %v",
			state, state))
	}
	if most < 1 {
		panic(fmt.Sprintf("decide: cached: the number of states is %d; it must be at least 1", most))
	}
	cache := &stateCache[K, S]{most: most, byKey: make(map[K]*list.Element)}
	return func(key K) *Projection[S] {
		p := projection(key)
		if p != nil {
			p.cache, p.cached = cache.get(key), true
		}
		return p
	}
}

type cloner[S any] interface{ Clone() S }

func clone[S any](state S) S {
	if c, ok := any(state).(cloner[S]); ok {
		return c.Clone()
	}
	return state
}

// stateCache holds the states of the most recently used keys.
type stateCache[K comparable, S any] struct {
	most int

	mu     sync.Mutex // guards byKey and recent
	byKey  map[K]*list.Element
	recent list.List // of *cacheEntry, the most recently used first
}

type cacheEntry[K comparable, S any] struct {
	key   K
	state *cachedState[S]
}

// get returns the place for the state of a key. A projection may still use a place after its key
// was dropped; a state that it stores there is lost.
func (c *stateCache[K, S]) get(key K) *cachedState[S] {
	added := &cachedState[S]{}
	if key != key { // NaN, which a map never finds again
		return added
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.byKey[key]; ok {
		c.recent.MoveToFront(found)
		return found.Value.(*cacheEntry[K, S]).state
	}
	if c.recent.Len() == c.most {
		oldest := c.recent.Back()
		c.recent.Remove(oldest)
		delete(c.byKey, oldest.Value.(*cacheEntry[K, S]).key)
	}
	c.byKey[key] = c.recent.PushFront(&cacheEntry[K, S]{key: key, state: added})
	return added
}

// cachedState holds the state of one key between decisions. A snapshot is never changed, only
// replaced.
type cachedState[S any] struct{ latest atomic.Pointer[snapshot[S]] }

type snapshot[S any] struct {
	runner *Runner
	state  S
	seen   dcb.Position
}

// loadCached takes over the cached state if it is newer than the projection's own.
func (p *Projection[S]) loadCached(r *Runner) {
	if p.cache == nil {
		return
	}
	if s := p.cache.latest.Load(); s != nil && s.runner == r && s.seen > p.seen {
		p.fromCache = p.fromCache || p.seen == 0
		p.state, p.seen = clone(s.state), s.seen
	}
}

// storeAfter is the number of positions after which an unchanged state is stored again, so that
// the projections of one decision stay within one batchWindow.
const storeAfter = batchWindow / 4

// storeCached stores the state unless the cached one is as new.
func (p *Projection[S]) storeCached() {
	if p.cache == nil {
		return
	}
	for {
		old := p.cache.latest.Load()
		if old != nil && old.runner == p.runner && (old.seen >= p.seen || !p.changed && p.seen-old.seen < storeAfter) {
			return
		}
		next := &snapshot[S]{runner: p.runner, state: clone(p.state), seen: p.seen}
		if p.cache.latest.CompareAndSwap(old, next) {
			p.changed = false
			return
		}
	}
}

// reset sets a projection that started from a cached state back to its initial state, which no
// handler has changed, and drops the cached state.
func (p *Projection[S]) reset() bool {
	if !p.fromCache {
		return false
	}
	p.cache.latest.Store(nil)
	p.state, p.seen, p.fromCache = p.initial, 0, false
	return true
}
