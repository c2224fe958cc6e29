package guide_test

import (
	"context"
	"errors"
	"fmt"

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

// LendOnce is Lend with a key that the sender of the command drew.
func (l *Library) LendOnce(ctx context.Context, key, book, member string) (dcb.Position, error) {
	holder, books := holder(book), books(member)
	return l.decide.Do(ctx, func() ([]any, error) {
		switch {
		case holder.State() != "":
			return nil, ErrNotOnShelf
		case books.State() == 3:
			return nil, ErrTooManyBooks
		}
		return decide.Events(BookLent{book, member}), nil
	}, holder, books, decide.Once(key))
}

func Example_once() {
	ctx, library := context.Background(), Open(memstore.New(nil))
	fmt.Println(library.Buy(ctx, "b1", "Emma"))
	fmt.Println(library.LendOnce(ctx, "lend-4711", "b1", "ann"))
	fmt.Println(library.LendOnce(ctx, "lend-4711", "b1", "ann")) // sent again: it is done, and was done once
	fmt.Println(library.LendOnce(ctx, "lend-4712", "b1", "ann")) // another command
	// Output:
	// <nil>
	// 2 <nil>
	// 2 <nil>
	// 0 the book is not on its shelf
}

type requestKey struct{}

func requestOf(ctx context.Context) string {
	request, _ := ctx.Value(requestKey{}).(string)
	return request
}

func Example_metadata() {
	store := memstore.New(nil)
	decider := decide.New(store, events, &decide.Options{
		Metadata: func(ctx context.Context) map[string]string {
			return map[string]string{"correlation": requestOf(ctx)}
		},
	})
	ctx := context.WithValue(context.Background(), requestKey{}, "r-17")
	_, err := decider.Record(ctx, BookBought{"b1", "Emma"})
	fmt.Println(err)

	recorded, err := store.Read(ctx, dcb.All(), dcb.ReadOptions{})
	fmt.Println(recorded.Events[0].Metadata, err)
	// Output:
	// <nil>
	// map[correlation:r-17] <nil>
}

// Shelf is a read model: which books are on their shelf, up to a position.
type Shelf struct {
	Books map[string]bool
	Seen  dcb.Position
}

// Follow keeps the shelf up to date until the context ends. A read model on disk stores Seen together with what it belongs to.
func (s *Shelf) Follow(ctx context.Context, store dcb.Store, changed func()) error {
	for batch, err := range dcb.Follow(ctx, store, dcb.All(), s.Seen) {
		if err != nil {
			return err
		}
		for _, recorded := range batch.Events {
			event, err := events.Decode(recorded.Event)
			if errors.Is(err, decide.ErrUnknownType) {
				continue // it is not about books
			}
			if err != nil {
				return err
			}
			switch e := event.(type) {
			case BookBought:
				s.Books[e.Book] = true
			case BookLent:
				delete(s.Books, e.Book)
			case BookReturned:
				s.Books[e.Book] = true
			}
		}
		s.Seen = batch.Head
		changed()
	}
	return nil
}

func Example_follow() {
	ctx, cancel := context.WithCancel(context.Background())
	store := memstore.New(nil)
	library := Open(store)
	fmt.Println(library.Buy(ctx, "b1", "Emma"), library.Buy(ctx, "b2", "Middlemarch"), library.Lend(ctx, "b1", "ann"))

	shelf := Shelf{Books: map[string]bool{}}
	err := shelf.Follow(ctx, store, func() {
		if shelf.Seen == 3 { // all that this example waits for
			cancel()
		}
	})
	fmt.Println(shelf.Books, errors.Is(err, context.Canceled))
	// Output:
	// <nil> <nil> <nil>
	// map[b2:true] true
}

// Desk lends books of one library, and keeps what it knows of the books that are asked for most.
type Desk struct {
	decide *decide.Decider
	holder func(book string) *decide.View[string]
}

func NewDesk(store dcb.Store) *Desk {
	return &Desk{decide.New(store, events, nil), decide.Cached(10_000, holder)}
}

func (d *Desk) Where(ctx context.Context, book string) (string, error) {
	holder := d.holder(book)
	_, err := d.decide.Read(ctx, holder)
	return holder.State(), err
}

func Example_cached() {
	ctx, store := context.Background(), memstore.New(nil)
	library, desk := Open(store), NewDesk(store)
	fmt.Println(library.Buy(ctx, "b1", "Emma"), library.Lend(ctx, "b1", "ann"))
	fmt.Println(desk.Where(ctx, "b1"))
	fmt.Println(desk.Where(ctx, "b1")) // reads only what came since: nothing
	// Output:
	// <nil> <nil>
	// ann <nil>
	// ann <nil>
}
