package guide_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
)

type BookBought struct {
	Book  string `json:"book" dcb:"book"`
	Title string `json:"title"`
}

type BookLent struct {
	Book   string `json:"book" dcb:"book"`
	Member string `json:"member" dcb:"member"`
}

type BookReturned struct {
	Book   string `json:"book" dcb:"book"`
	Member string `json:"member" dcb:"member"`
}

var events = decide.NewCodec(
	decide.Type[BookBought]("BookBought"),
	decide.Type[BookLent]("BookLent"),
	decide.Type[BookReturned]("BookReturned"),
)

// holder is the member who has the book, or "" if the book is on its shelf.
func holder(book string) *decide.Projection[string] {
	return decide.NewProjection("no such book",
		decide.On(func(_ string, _ BookBought) string { return "" }),
		decide.On(func(_ string, e BookLent) string { return e.Member }),
		decide.On(func(_ string, _ BookReturned) string { return "" }),
	).Tagged("book", book)
}

// books is the number of books that a member has.
func books(member string) *decide.Projection[int] {
	return decide.NewProjection(0,
		decide.On(func(n int, _ BookLent) int { return n + 1 }),
		decide.On(func(n int, _ BookReturned) int { return n - 1 }),
	).Tagged("member", member)
}

var (
	ErrNotOnShelf   = errors.New("the book is not on its shelf")
	ErrTooManyBooks = errors.New("the member has three books already")
)

type Library struct{ runner *decide.Runner }

func Open(store dcb.Store) *Library { return &Library{decide.New(store, events, nil)} }

func (l *Library) Buy(ctx context.Context, book, title string) error {
	_, err := l.runner.Record(ctx, BookBought{book, title})
	return err
}

func (l *Library) Lend(ctx context.Context, book, member string) error {
	holder, books := holder(book), books(member)
	_, err := l.runner.Do(ctx, func() ([]any, error) {
		switch {
		case holder.State() != "":
			return nil, ErrNotOnShelf
		case books.State() == 3:
			return nil, ErrTooManyBooks
		}
		return decide.Events(BookLent{book, member}), nil
	}, holder, books)
	return err
}

func Example_library() {
	ctx := context.Background()
	library := Open(memstore.New(nil))
	fmt.Println(library.Buy(ctx, "moby-dick", "Moby-Dick"))
	fmt.Println(library.Lend(ctx, "moby-dick", "ann"))
	fmt.Println(library.Lend(ctx, "moby-dick", "bob"))
	// Output:
	// <nil>
	// <nil>
	// the book is not on its shelf
}

// The state of a projection that is not passed to Do stays the initial one.
func Example_forgottenProjection() {
	ctx, store := context.Background(), memstore.New(nil)
	runner := decide.New(store, events, nil)
	for _, book := range []string{"b1", "b2", "b3", "b4"} {
		holder, books := holder(book), books("ann")
		_, err := runner.Do(ctx, func() ([]any, error) {
			if books.State() == 3 {
				return nil, ErrTooManyBooks
			}
			return decide.Events(BookLent{book, "ann"}), nil
		}, holder)
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// <nil>
}
