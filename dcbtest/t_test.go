package dcbtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
)

func TestSuiteCheckReturnsTheFailuresOfACase(t *testing.T) {
	for _, x := range []struct {
		name string
		run  func(t *T)
		want []string
	}{
		{"Errorf", func(t *T) { t.Errorf("wrong: %w", errors.ErrUnsupported) }, []string{"t_test.go:", "wrong: unsupported"}},
		{"Errorf twice", func(t *T) { t.Errorf("one"); t.Errorf("two") }, []string{"one", "two"}},
		{"Fatalf", func(t *T) {
			for _, which := range []string{"one", "two"} {
				t.Fatalf("%s", which)
			}
		}, []string{"one"}},
		{"panic", func(*T) { panic("wrong") }, []string{"panic: wrong", "t_test.go:"}},
		{"Errorf in a goroutine", func(t *T) { t.Go(func() { t.Errorf("wrong") }) }, []string{"wrong"}},
		{"panic in a goroutine", func(t *T) { t.Go(func() { panic("wrong") }) }, []string{"panic: wrong"}},
		{"Fatalf while a goroutine waits", func(t *T) {
			t.Go(func() { <-t.Context().Done() })
			t.Fatalf("wrong")
		}, []string{"wrong"}},
		{"a check of T", func(t *T) { t.selects(tagged("x"), 1) }, []string{"t_test.go:", "selects [], want [1]"}},
		{"an iterator", func(t *T) { t.collect(dcb.Stream(t.ctx, t.Store, nil, dcb.ReadOptions{})) }, []string{"t_test.go:", "invalid"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			err := suiteOf(correct).Check(t, Case{Name: x.name, Run: x.run})
			if err == nil {
				t.Fatal("Check = nil, want an error")
			}
			for _, want := range x.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Check = %q, want it to contain %q", err, want)
				}
			}
			if x.name == "Fatalf" && strings.Contains(err.Error(), "two") {
				t.Errorf("the case goes on after Fatalf: %v", err)
			}
		})
	}
}

func TestSuiteCheckLimitsTheFailuresOfACase(t *testing.T) {
	t.Parallel()
	err := suiteOf(correct).Check(t, Case{Run: func(t *T) {
		for range 1000 {
			t.Errorf("wrong")
		}
	}})
	if n := strings.Count(err.Error(), "wrong"); n != maxFailures {
		t.Errorf("Check returned %d failures, want %d", n, maxFailures)
	}
}

func TestSuiteCheckReturnsAHangAsAFailure(t *testing.T) {
	t.Parallel()
	suite := suiteOf(correct)
	suite.Timeout = 20 * time.Millisecond
	never := make(chan struct{})
	defer close(never)
	for name, run := range map[string]func(t *T){
		"waiting for the context":            func(t *T) { <-t.Context().Done() },
		"ignoring the context":               func(*T) { <-never },
		"ignoring the context, goroutine":    func(t *T) { t.Go(func() { <-never }) },
		"waiting for the context, Errorf":    func(t *T) { <-t.Context().Done(); t.Errorf("too late") },
		"waiting for the context, goroutine": func(t *T) { t.Go(func() { <-t.Context().Done() }) },
	} {
		if err := suite.Check(t, Case{Name: name, Run: run}); err == nil || !strings.HasPrefix(err.Error(), "the case hung") {
			t.Errorf("%s: Check = %v, want a hang", name, err)
		}
	}
}

func TestSuiteCheckReturnsTheErrorOfClose(t *testing.T) {
	t.Parallel()
	suite := suiteOf(func(s *simpleStore) dcb.Store {
		return &patchedStore{simpleStore: s, close: func() error { return errors.ErrUnsupported }}
	})
	if err := suite.Check(t, Case{Run: func(*T) {}}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Check = %v, want the error of Close", err)
	}
}

func TestSuiteCheckClosesEveryStoreOfTheCase(t *testing.T) {
	t.Parallel()
	var opened []*simpleStore
	suite := suiteOf(func(s *simpleStore) dcb.Store {
		opened = append(opened, s)
		return s
	})
	err := suite.Check(t, Case{Needs: NeedSecond | NeedReopen, Run: func(t *T) {
		t.Second(t.Store)
		t.Store = t.Reopen(t.Store)
	}})
	if err != nil || len(opened) != 3 {
		t.Fatalf("Check opened %d stores and returned %v, want 3 and nil", len(opened), err)
	}
	for i, s := range opened {
		if _, err := s.Head(t.Context()); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("Head of store %d returned error %v, want ErrClosed", i, err)
		}
	}
}

func TestSuiteCheckPanicsIfTheSuiteLacksAFunction(t *testing.T) {
	t.Parallel()
	suite := Suite{Open: suiteOf(correct).Open}
	for _, need := range []Need{NeedSecond, NeedReopen, NeedSecond | NeedReopen} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, "does not provide") {
					t.Errorf("Check with need %d panicked with %q", need, p)
				}
			}()
			_ = suite.Check(t, Case{Needs: need, Run: func(*T) {}})
		}()
	}
}
