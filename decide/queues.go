package decide

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dcbstore/dcb"
)

// keyQueues holds queues for decisions that conflict repeatedly. There is one queue per key: the
// tags that the conflicts are about. The decision at the front of a queue runs and the others
// wait. A decision that begins while there is a queue for one of its keys joins the end of that
// queue.
//
// So callers of one process take turns. Without queues, chance decides between them, and one
// caller in a loop can keep the others out. On a store that syncs, it is the first to learn that
// its own event is recorded, and so the first to continue.
//
// Queues affect fairness and speed only; the append condition alone keeps decisions correct.
// Other processes do not share the queues.
type keyQueues struct {
	count atomic.Int64 // of queues; read without the mutex

	mu    sync.Mutex // guards byKey and the users of each queue
	byKey map[string]*keyQueue
}

type keyQueue struct {
	turn  chan struct{} // full while a decision has its turn; blocked senders continue in order
	users int           // decisions that wait or have their turn
}

const (
	// attemptsBeforeQueue is the number of attempts that a decision makes before it joins a queue.
	attemptsBeforeQueue = 2
	// maxQueueWait limits how long a decision waits for its turn. A decision that makes another
	// decision inside its function would otherwise wait for itself.
	maxQueueWait = time.Second
)

// queueKey returns the key of the queue for an item: its tags, or its types if it has no tags.
func queueKey(item *dcb.QueryItem) string {
	const separator = "\x00" // not allowed in tags and types
	if len(item.Tags) > 0 {
		return strings.Join(item.Tags, separator)
	}
	return separator + strings.Join(item.Types, separator)
}

// find returns the key of a queue that exists for one of the projections.
func (q *keyQueues) find(projections []AnyProjection) (key string, found bool) {
	if q.count.Load() == 0 {
		return "", false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, projection := range projections {
		key := queueKey(&projection.base().item)
		if q.byKey[key] != nil {
			return key, true
		}
	}
	return "", false
}

// join waits for a turn in the queue of a key, and returns the function that leaves the queue.
// After maxQueueWait, or when ctx ends, join returns without a turn; the decision then runs
// beside the others.
func (q *keyQueues) join(ctx context.Context, key string) (leave func()) {
	q.mu.Lock()
	queue := q.byKey[key]
	if queue == nil {
		if q.byKey == nil {
			q.byKey = make(map[string]*keyQueue)
		}
		queue = &keyQueue{turn: make(chan struct{}, 1)}
		q.byKey[key] = queue
		q.count.Add(1)
	}
	queue.users++
	q.mu.Unlock()

	timeout := time.NewTimer(maxQueueWait)
	defer timeout.Stop()
	hasTurn := false
	select {
	case queue.turn <- struct{}{}:
		hasTurn = true
	case <-timeout.C:
	case <-ctx.Done():
	}
	return func() {
		if hasTurn {
			<-queue.turn
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if queue.users--; queue.users == 0 {
			delete(q.byKey, key)
			q.count.Add(-1)
		}
	}
}
