package dcbtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
)

func TestWhatACaseDoesWrongIsAFailure(t *testing.T) {
	for _, x := range []struct {
		name string
		run  func(t *T)
		want []string
	}{
		{"Errorf", func(t *T) { t.Errorf("wrong: %w", errors.ErrUnsupported) }, []string{"t_test.go:", "wrong: unsupported"}},
		{"two Errorf", func(t *T) { t.Errorf("one"); t.Errorf("two") }, []string{"one", "two"}},
		{"Fatalf", func(t *T) {
			for _, which := range []string{"one", "two"} {
				t.Fatalf("%s", which)
			}
		}, []string{"one"}},
		{"a panic", func(*T) { panic("wrong") }, []string{"panic: wrong", "t_test.go:"}},
		{"Errorf in a goroutine", func(t *T) { t.Go(func() { t.Errorf("wrong") }) }, []string{"wrong"}},
		{"a panic in a goroutine", func(t *T) { t.Go(func() { panic("wrong") }) }, []string{"panic: wrong"}},
		{"Fatalf while a goroutine waits", func(t *T) {
			t.Go(func() { <-t.Context().Done() })
			t.Fatalf("wrong")
		}, []string{"wrong"}},
		{"an expectation", func(t *T) { t.selects(tagged("x"), 1) }, []string{"t_test.go:", "selects [], want [1]"}},
		{"an iterator", func(t *T) { t.collect(dcb.Stream(t.ctx, t.Store, nil, dcb.ReadOptions{})) }, []string{"t_test.go:", "invalid"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			err := suiteOf(right).Check(t, Case{Name: x.name, Run: x.run})
			if err == nil {
				t.Fatal("it is none")
			}
			for _, want := range x.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q", err, want)
				}
			}
			if x.name == "Fatalf" && strings.Contains(err.Error(), "two") {
				t.Errorf("the case goes on after Fatalf: %v", err)
			}
		})
	}
}

func TestAHangIsAFailureEvenIfItDoesNotMindItsContext(t *testing.T) {
	t.Parallel()
	suite := suiteOf(right)
	suite.Timeout = 20 * time.Millisecond
	never := make(chan struct{})
	defer close(never)
	for name, run := range map[string]func(t *T){
		"minding":                       func(t *T) { <-t.Context().Done() },
		"not minding":                   func(*T) { <-never },
		"not minding in the background": func(t *T) { t.Go(func() { <-never }) },
	} {
		if err := suite.Check(t, Case{Name: name, Run: run}); err == nil || !strings.Contains(err.Error(), "hung") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestAStoreThatDoesNotCloseIsAFailure(t *testing.T) {
	t.Parallel()
	suite := suiteOf(func(p *simple) dcb.Store {
		return &faulty{simple: p, close: func() error { return errors.ErrUnsupported }}
	})
	if err := suite.Check(t, Case{Run: func(*T) {}}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

func TestAStoreIsClosedAtTheEndOfItsCase(t *testing.T) {
	t.Parallel()
	var opened []*simple
	suite := suiteOf(func(p *simple) dcb.Store {
		opened = append(opened, p)
		return p
	})
	err := suite.Check(t, Case{Needs: NeedSecond | NeedReopen, Run: func(t *T) {
		t.Second(t.Store)
		t.Store = t.Reopen(t.Store)
	}})
	if err != nil || len(opened) != 3 {
		t.Fatalf("opened %d stores and got %v", len(opened), err)
	}
	for i, s := range opened {
		if _, err := s.Head(t.Context()); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("store %d is open: %v", i, err)
		}
	}
}

func TestACaseForWhichTheSuiteLacksSomethingCannotBeChecked(t *testing.T) {
	t.Parallel()
	suite := Suite{Open: suiteOf(right).Open}
	for _, need := range []Need{NeedSecond, NeedReopen, NeedSecond | NeedReopen} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, "lacks what the case needs") {
					t.Errorf("need %d: recovered %q", need, p)
				}
			}()
			_ = suite.Check(t, Case{Needs: need, Run: func(*T) {}})
		}()
	}
}
