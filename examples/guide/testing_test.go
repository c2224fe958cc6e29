package guide_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/memstore"
)

func TestLend(t *testing.T) {
	s := decidetest.New(t, events, nil)
	library := Open(s.Store)
	s.Given(BookBought{"b1", "Emma"})
	s.When(library.Lend(t.Context(), "b1", "ann")).Then(BookLent{"b1", "ann"})
	s.When(library.Lend(t.Context(), "b1", "bob")).ThenError(ErrNotOnShelf)
}

func TestLendRace(t *testing.T) {
	library := Open(memstore.New(nil))
	if err := library.Buy(t.Context(), "b1", "Emma"); err != nil {
		t.Fatal(err)
	}
	lend := func(member string) decidetest.Command {
		return func(ctx context.Context) error { return library.Lend(ctx, "b1", member) }
	}
	decidetest.CheckWinners(t, 1, ErrNotOnShelf, lend("ann"), lend("bob"), lend("cid"))
}

// BookHeld reserves a book for a member, for one day.
type BookHeld struct {
	Book   string `json:"book" dcb:"book"`
	Member string `json:"member" dcb:"member"`
}

var holdEvents, ErrHeld = decide.NewCodec(decide.Type[BookHeld]("BookHeld")), errors.New("the book is held for another member")

// hold is the last reservation of a book.
type hold struct {
	member string
	since  time.Time
}

func holdOf(book string) *decide.Projection[hold] {
	return decide.NewProjection(hold{},
		decide.OnRecorded(func(_ hold, e BookHeld, r decide.Recorded) hold { return hold{e.Member, r.At} }),
	).Tagged("book", book)
}

// Holds has a clock: time.Now, except in tests.
type Holds struct {
	runner *decide.Runner
	now    func() time.Time
}

func OpenHolds(store dcb.Store, now func() time.Time) *Holds {
	return &Holds{decide.New(store, holdEvents, nil), now}
}

func (h *Holds) Hold(ctx context.Context, book, member string) error {
	hold := holdOf(book)
	_, err := h.runner.Do(ctx, func() ([]any, error) {
		last := hold.State()
		if last.member != "" && last.member != member && h.now().Sub(last.since) < 24*time.Hour {
			return nil, ErrHeld
		}
		return decide.Events(BookHeld{book, member}), nil
	}, hold)
	return err
}

func TestHoldLapsesAfterADay(t *testing.T) {
	s := decidetest.New(t, holdEvents, nil)
	holds := OpenHolds(s.Store, s.Now)
	s.GivenAgo(20*time.Hour, BookHeld{"b1", "ann"})
	s.When(holds.Hold(t.Context(), "b1", "bob")).ThenError(ErrHeld)
	s.Advance(5 * time.Hour)
	s.When(holds.Hold(t.Context(), "b1", "bob")).Then(BookHeld{"b1", "bob"})
	s.When(holds.Hold(t.Context(), "b1", "ann")).ThenError(ErrHeld) // bob has it now
}
