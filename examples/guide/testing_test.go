package guide_test

import (
	"context"
	"testing"
	"time"

	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/memstore"
)

func TestABookIsLentToOne(t *testing.T) {
	s := decidetest.New(t, events, nil)
	library := Open(s.Store)
	s.Given(BookBought{"b1", "Emma"})
	s.When(library.Lend(t.Context(), "b1", "ann")).Then(BookLent{"b1", "ann"})
	s.When(library.Lend(t.Context(), "b1", "bob")).ThenError(ErrNotOnShelf)
}

func TestOneOfManyGetsTheBook(t *testing.T) {
	library := Open(memstore.New(nil))
	if err := library.Buy(t.Context(), "b1", "Emma"); err != nil {
		t.Fatal(err)
	}
	lend := func(member string) decidetest.Call {
		return func(ctx context.Context) error { return library.Lend(ctx, "b1", member) }
	}
	decidetest.CheckWinners(t, 1, ErrNotOnShelf, lend("ann"), lend("bob"), lend("cid"))
}

// lentAt says since when a book is lent.
func lentAt(book string) *decide.View[time.Time] {
	return decide.NewView(time.Time{},
		decide.OnRecorded(func(_ time.Time, _ BookLent, r decide.Recorded) time.Time { return r.At }),
		decide.On(func(_ time.Time, _ BookReturned) time.Time { return time.Time{} }),
	).Tagged("book", book)
}

func TestABookIsOverdueAfterFourWeeks(t *testing.T) {
	const week = 7 * 24 * time.Hour
	s := decidetest.New(t, events, nil)
	s.GivenAgo(5*week, BookLent{"b1", "ann"})
	s.GivenAgo(3*week, BookLent{"b2", "ann"})
	for book, want := range map[string]bool{"b1": true, "b2": false} {
		since := lentAt(book)
		_, err := decide.New(s.Store, events, nil).Read(t.Context(), since)
		if overdue := s.Now().Sub(since.State()) > 4*week; err != nil || overdue != want {
			t.Errorf("%s: overdue is %t, %v", book, overdue, err)
		}
	}
}
