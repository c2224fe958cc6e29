package guide_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/stores"
)

func Example_open() {
	store, err := stores.Open(context.Background(), "mem:") // or stores.FromEnv, which reads DCB_STORE
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	fmt.Println(Open(store).Buy(context.Background(), "b1", "Emma"))
	// Output:
	// <nil>
}

// LendOnce is Lend with an idempotency key that the sender of the command chose.
func (l *Library) LendOnce(ctx context.Context, key, book, member string) (dcb.Position, error) {
	holder, books := holder(book), books(member)
	return l.runner.Do(ctx, func() ([]any, error) {
		switch {
		case holder.State() != "":
			return nil, ErrNotOnShelf
		case books.State() == 3:
			return nil, ErrTooManyBooks
		}
		return decide.Events(BookLent{book, member}), nil
	}, holder, books, decide.IdempotencyKey(key))
}

// LentBy returns the loan that the command with a key recorded.
func (l *Library) LentBy(ctx context.Context, key string) (BookLent, error) {
	lent := decide.NewProjection(BookLent{},
		decide.On(func(_, e BookLent) BookLent { return e }),
	).Tagged("command", key)
	_, err := l.runner.Read(ctx, lent)
	return lent.State(), err
}

func Example_idempotencyKey() {
	ctx, library := context.Background(), Open(memstore.New(nil))
	fmt.Println(library.Buy(ctx, "b1", "Emma"))
	fmt.Println(library.LendOnce(ctx, "lend-4711", "b1", "ann"))
	fmt.Println(library.LendOnce(ctx, "lend-4711", "b1", "ann")) // sent again: the same position, recorded once
	fmt.Println(library.LendOnce(ctx, "lend-4712", "b1", "ann")) // another command

	fmt.Println(library.LendOnce(ctx, "lend-4711", "b2", "bob")) // also 2 and no error, but bob does not get b2
	fmt.Println(library.LentBy(ctx, "lend-4711"))                // the recorded loan: ann has b1
	// Output:
	// <nil>
	// 2 <nil>
	// 2 <nil>
	// 0 the book is not on its shelf
	// 2 <nil>
	// {b1 ann} <nil>
}

type requestKey struct{}

func requestOf(ctx context.Context) string {
	request, _ := ctx.Value(requestKey{}).(string)
	return request
}

func Example_metadata() {
	store := memstore.New(nil)
	runner := decide.New(store, events, &decide.Options{
		Metadata: func(ctx context.Context) map[string]string {
			return map[string]string{"correlation": requestOf(ctx)} // your server put it into the context
		},
	})
	ctx := context.WithValue(context.Background(), requestKey{}, "r-17")
	_, err := runner.Record(ctx, BookBought{"b1", "Emma"})
	fmt.Println(err)

	bought := decide.NewProjection("",
		decide.OnRecorded(func(_ string, _ BookBought, r decide.Recorded) string { return r.Metadata("correlation") }),
	).Tagged("book", "b1")
	_, err = runner.Read(ctx, bought)
	fmt.Println(bought.State(), err)

	recorded, err := store.Read(ctx, dcb.All(), dcb.ReadOptions{}) // as a follower sees it
	fmt.Println(recorded.Events[0].Metadata, err)
	// Output:
	// <nil>
	// r-17 <nil>
	// map[correlation:r-17] <nil>
}

// Shelf is a read model: the books that are on their shelf. One goroutine calls Follow, and any
// number of goroutines call the other methods.
type Shelf struct {
	mu      sync.Mutex // guards the fields below
	books   map[string]bool
	seen    dcb.Position  // the head of the last batch; only Follow changes it
	changed chan struct{} // closed and replaced after each batch
}

func NewShelf() *Shelf { return &Shelf{books: make(map[string]bool), changed: make(chan struct{})} }

// Follow keeps the shelf up to date. It returns when the context ends, or on an error that waiting
// does not fix.
func (s *Shelf) Follow(ctx context.Context, store dcb.Store) error {
	books := dcb.Query{{Types: events.Names(BookBought{}, BookLent{}, BookReturned{})}}
	for {
		for batch, err := range dcb.Follow(ctx, store, books, s.seen) {
			if err == nil {
				err = s.apply(batch)
			}
			if err != nil && !dcb.Retryable(err) {
				return err
			}
		}
		select {
		case <-time.After(time.Second): // the store cannot be reached; continue after s.seen
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Shelf) apply(batch dcb.ReadResult) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, recorded := range batch.Events {
		event, err := events.Decode(recorded.Event)
		if err != nil {
			return err
		}
		switch e := event.(type) {
		case BookBought:
			s.books[e.Book] = true
		case BookLent:
			delete(s.books, e.Book)
		case BookReturned:
			s.books[e.Book] = true
		}
	}
	s.seen = batch.Head
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// WaitFor returns when the shelf includes all events up to a position.
func (s *Shelf) WaitFor(ctx context.Context, position dcb.Position) error {
	for {
		s.mu.Lock()
		seen, changed := s.seen, s.changed
		s.mu.Unlock()
		if seen >= position {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Shelf) Has(book string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.books[book]
}

func Example_follow() {
	ctx, cancel := context.WithCancel(context.Background())
	store := memstore.New(nil)
	library, shelf := Open(store), NewShelf()
	followed := make(chan error)
	go func() { followed <- shelf.Follow(ctx, store) }()
	fmt.Println(library.Buy(ctx, "b1", "Emma"), library.Buy(ctx, "b2", "Middlemarch"))

	position, err := library.LendOnce(ctx, "lend-4713", "b1", "ann")
	if err == nil {
		err = shelf.WaitFor(ctx, position)
	}
	fmt.Println(shelf.Has("b1"), shelf.Has("b2"), err)

	cancel()
	fmt.Println(<-followed)
	fmt.Println(shelf.WaitFor(ctx, position+1))
	// Output:
	// <nil> <nil>
	// false true <nil>
	// context canceled
	// context canceled
}

// outage is a store whose second and third read fail.
type outage struct {
	dcb.Store
	reads int
}

func (o *outage) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if o.reads++; o.reads == 2 || o.reads == 3 {
		return dcb.ReadResult{}, &dcb.UnavailableError{Cause: errors.New("the store is away")}
	}
	return o.Store.Read(ctx, q, opts)
}

func TestShelfFollowSurvivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store, shelf := memstore.New(nil), NewShelf()
		followed := make(chan error)
		away := &outage{Store: store}
		go func() { followed <- shelf.Follow(ctx, away) }()
		synctest.Wait() // until Follow waits; the next read fails
		if err := Open(store).Buy(ctx, "b1", "Emma"); err != nil {
			t.Fatal(err)
		}
		if err := shelf.WaitFor(ctx, 1); err != nil || !shelf.Has("b1") || away.reads < 4 {
			t.Errorf("after %d reads the shelf has b1: %t (error %v), want true", away.reads, shelf.Has("b1"), err)
		}
		cancel()
		if err := <-followed; !errors.Is(err, context.Canceled) {
			t.Errorf("Follow(…) = %v, want the error of the context", err)
		}
	})
}

// Desk lends books and keeps the states of the books that are asked for most.
type Desk struct {
	runner *decide.Runner
	holder func(book string) *decide.Projection[string]
}

func NewDesk(store dcb.Store) *Desk {
	return &Desk{decide.New(store, events, nil), decide.Cached(10_000, holder)}
}

func (d *Desk) Where(ctx context.Context, book string) (string, error) {
	holder := d.holder(book)
	_, err := d.runner.Read(ctx, holder)
	return holder.State(), err
}

func Example_cached() {
	ctx, store := context.Background(), memstore.New(nil)
	library, desk := Open(store), NewDesk(store)
	fmt.Println(library.Buy(ctx, "b1", "Emma"), library.Lend(ctx, "b1", "ann"))
	fmt.Println(desk.Where(ctx, "b1"))
	fmt.Println(desk.Where(ctx, "b1")) // reads only new events: none
	// Output:
	// <nil> <nil>
	// ann <nil>
	// ann <nil>
}

func Example_screen() {
	ctx, store := context.Background(), memstore.New(nil)
	library, runner := Open(store), decide.New(store, events, nil)
	fmt.Println(library.Buy(ctx, "b1", "Emma"))

	holder, books := holder("b1"), books("ann")
	_, err := runner.Read(ctx, holder, books)
	fmt.Printf("held by %q; ann has %d books; %v\n", holder.State(), books.State(), err) // on a screen, for minutes

	fmt.Println(library.Lend(ctx, "b1", "bob")) // another desk lends the book meanwhile

	_, err = runner.Append(ctx, decide.Events(BookLent{"b1", "ann"}), holder, books)
	fmt.Println(errors.Is(err, dcb.ErrConflict)) // the screen is out of date: Read again, and ask again
	// Output:
	// <nil>
	// held by ""; ann has 0 books; <nil>
	// <nil>
	// true
}
