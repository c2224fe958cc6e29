package decide

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dcbstore/dcb"
)

// Decisions that lose again and again queue up in lanes: one for each thing that they lost about, named by its tags. Whoever is
// first in the lane decides, and the others wait. Decisions that begin while there is a lane about something of theirs go to its end.
// So of many callers in one process each has its turn, where chance alone would let one in a loop keep others out: on
// a store that syncs, it is the first to know that its own event is recorded, and so the first to go on.
//
// Lanes are about fairness and speed only; what is right is up to the condition, as ever. Other processes know nothing of them.
type lanes struct {
	busy atomic.Int64 // lanes that there are, to be asked without the lock

	mu     sync.Mutex // guards what follows
	byTags map[string]*lane
}

type lane struct {
	turn  chan struct{} // full while it is somebody's turn; who waits to fill it is served in order
	users int           // whose turn it is, and who waits
}

const (
	// patientAttempts are made before a decision queues up.
	patientAttempts = 2
	// longestTurn is for how long one waits for one's turn, at most. A decision that makes another decision waits for itself.
	longestTurn = time.Second
)

// laneOf returns the name of the lane about what an item selects: its tags, or without any, its types.
func laneOf(item *dcb.QueryItem) string {
	const separator = "\x00" // which neither contains
	if len(item.Tags) > 0 {
		return strings.Join(item.Tags, separator)
	}
	return separator + strings.Join(item.Types, separator)
}

// find returns the name of a lane about what one of the projections looks at.
func (l *lanes) find(projections []AnyProjection) (name string, found bool) {
	if l.busy.Load() == 0 {
		return "", false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range projections {
		name := laneOf(&v.common().item)
		if l.byTags[name] != nil {
			return name, true
		}
	}
	return "", false
}

// enter waits for its turn in a lane, and returns what leaves it. It gives up waiting, not entering, when it has waited for too long or
// the context ends.
func (l *lanes) enter(ctx context.Context, name string) (leave func()) {
	l.mu.Lock()
	in := l.byTags[name]
	if in == nil {
		if l.byTags == nil {
			l.byTags = make(map[string]*lane)
		}
		in = &lane{turn: make(chan struct{}, 1)}
		l.byTags[name] = in
		l.busy.Add(1)
	}
	in.users++
	l.mu.Unlock()

	timeout := time.NewTimer(longestTurn)
	defer timeout.Stop()
	mine := false
	select {
	case in.turn <- struct{}{}:
		mine = true
	case <-timeout.C:
	case <-ctx.Done():
	}
	return func() {
		if mine {
			<-in.turn
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if in.users--; in.users == 0 {
			delete(l.byTags, name)
			l.busy.Add(-1)
		}
	}
}
