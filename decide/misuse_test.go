package decide_test

import (
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
)

// What is wrong with a program is told by the decision that meets it, before anything is read.
func TestWrongViewsAreRefused(t *testing.T) {
	t.Parallel()
	read := opened("a")
	if _, err := decide.New(memstore.New(nil), bank, nil).Read(t.Context(), read); err != nil {
		t.Fatal(err)
	}
	var none *decide.View[int]
	anyEvent := decide.OnAny(func(n int, _ any) int { return n })
	for says, views := range map[string][]decide.AnyView{
		"no views":                         {},
		"views is nil":                     {nil},
		"the views is nil":                 {none},
		`"account:" has no value`:          {opened("")},
		"has a colon":                      {deposits().Tagged("a:b", "c")},
		"is empty or has":                  {deposits().Tagged("", "c")},
		"nil has no value":                 {deposits().Tagged("a", nil)},
		"float64 cannot be":                {deposits().Tagged("a", 1.5)},
		`the tag "" has no value`:          {deposits().WithTags("")},
		"has no handlers":                  {decide.NewView(0)},
		"NewView makes one":                {new(decide.View[int])},
		"handlers has no function":         {decide.NewView(0, decide.Handler[int]{})},
		"has no function; On":              {decide.NewView(0, decide.On[int, Opened](nil))},
		"no function; On makes":            {decide.NewView(0, decide.OnRecorded[int, Opened](nil))},
		"function; On makes it":            {decide.NewView(0, decide.OnAny[int](nil))},
		"not in the codec":                 {decide.NewView(0, decide.On(func(n int, _ Unregistered) int { return n }))},
		"two handlers":                     {decide.NewView(0, decide.On(func(n int, _ Opened) int { return n }), decide.On(func(n int, _ Opened) int { return n }))},
		"two handlers for <nil>":           {decide.NewView(0, anyEvent, anyEvent)},
		"cannot skip":                      {decide.NewView(0, anyEvent).OnlyLast().SkipUnknown()},
		`"owner:a", and handles`:           {balance("a").Tagged("owner", "a")},
		"in the codec has all of its tags": {decide.NewView(0, anyEvent).Tagged("account", "a").Tagged("owner", "a")},
		"by another decider":               {read},
		"key of a command is":              {decide.Once("")},
		"two keys":                         {opened("a"), decide.Once("k"), decide.Once("l")},
		"two keys, \"k\" and \"k":          {decide.Once("k"), decide.Once("k")},
	} {
		store := &spy{Store: memstore.New(nil), read: func(dcb.Query, dcb.ReadOptions) { t.Errorf("%s: the store was read", says) }}
		_, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}), views...)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want it to say %q", err, says)
		}
	}
}

func TestADeciderNeedsAllOfItsParts(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(){
		"store": func() { decide.New(nil, bank, nil) },
		"codec": func() { decide.New(memstore.New(nil), nil, nil) },
	} {
		if reason, ok := panics(broken).(string); !ok || !strings.Contains(reason, "one of them is nil") {
			t.Errorf("without a %s: %q", name, reason)
		}
	}
	if _, err := decide.New(memstore.New(nil), bank, nil).Do(t.Context(), nil, opened("a")); err == nil || !strings.Contains(err.Error(), "no function") {
		t.Errorf("without a function: %v", err)
	}
}

func TestAViewThatWasRefusedIsStillGoodWhereItBelongs(t *testing.T) {
	t.Parallel()
	view, d := opened("a"), decide.New(memstore.New(nil), bank, nil)
	for range 2 {
		if _, err := d.Read(t.Context(), view); err != nil {
			t.Error(err)
		}
		if _, err := decide.New(memstore.New(nil), bank, nil).Read(t.Context(), view); err == nil {
			t.Error("a view was read by two deciders")
		}
	}
}

func TestAViewTwiceIsOne(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	record(t, store, Deposited{"a", 1})
	a, key := balance("a"), decide.Once("k")
	if _, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}), a, key, a, key); err != nil || a.State() != 1 {
		t.Errorf("%v; the state is %d", err, a.State())
	}
}

// Their types can only be had by embedding what this package made.
type (
	namedKey  struct{ decide.AnyView }
	namedView struct {
		*decide.View[int]
		names []string
	}
)

func TestWhatEmbedsAViewOrAKeyIsOne(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	d := decide.New(store, bank, nil)
	for range 2 {
		a := namedView{balance("a"), []string{"a"}}
		if _, err := d.Do(t.Context(), always(Deposited{"a", 1}), namedKey{decide.Once("k")}, a, opened("a"), a); err != nil {
			t.Error(err)
		}
	}
	if head, err := store.Head(t.Context()); head != 1 || err != nil {
		t.Errorf("a command with a key was recorded %d times, %v", head, err)
	}
}

func TestAViewInUseIsRefusedElsewhere(t *testing.T) {
	t.Parallel()
	d, a := decide.New(memstore.New(nil), bank, nil), balance("a")
	_, err := d.Do(t.Context(), func() ([]any, error) {
		for range 2 {
			if _, err := d.Read(t.Context(), opened("b"), a); err == nil || !strings.Contains(err.Error(), "in use") {
				t.Errorf("a view that is in use: %v", err)
			}
		}
		return nil, nil
	}, a)
	if err != nil {
		t.Error(err)
	}
	if _, err := d.Read(t.Context(), a); err != nil {
		t.Errorf("after use: %v", err)
	}
}

func TestWhichViewsAreInUseIsSettledWhenADecisionBegins(t *testing.T) {
	t.Parallel()
	d, a, b := decide.New(memstore.New(nil), bank, nil), balance("a"), balance("b")
	views := []decide.AnyView{a, a}
	_, err := d.Do(t.Context(), func() ([]any, error) {
		views[0], views[1] = b, b // it is the caller's slice
		return nil, nil
	}, views...)
	if err != nil {
		t.Error(err)
	}
	if _, err := d.Read(t.Context(), a, b); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestADecisionThatChangesItsViewsIsNotRecorded(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	for name, change := range changes {
		view := deposits()
		_, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
			change(view)
			return decide.Events(Opened{"a"}), nil
		}, view)
		if head, _ := store.Head(t.Context()); err == nil || !strings.Contains(err.Error(), "changed after it was used") || head != 0 {
			t.Errorf("%s: %v; the head is %d", name, err, head)
		}
	}
}

func TestAViewIsNotChangedAfterItWasUsed(t *testing.T) {
	t.Parallel()
	d := decide.New(memstore.New(nil), bank, nil)
	for name, change := range changes {
		view := deposits()
		if _, err := d.Read(t.Context(), view); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read(t.Context(), change(view)); err == nil || !strings.Contains(err.Error(), "changed after it was used") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A cached view that looked at something else than others with its key would share its state with them.
func TestACachedViewIsNotChanged(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	record(t, store, Deposited{"a", 1}, Deposited{"b", 1})
	d, cached := decide.New(store, bank, nil), decide.Cached(1, func(string) *decide.View[int] { return deposits() })
	for name, change := range changes {
		if _, err := d.Read(t.Context(), change(cached("x"))); err == nil || !strings.Contains(err.Error(), "Cached made is changed") {
			t.Errorf("%s: %v", name, err)
		}
		all := cached("x")
		if _, err := d.Read(t.Context(), all); err != nil || all.State() != 2 {
			t.Errorf("after %s: %d, %v", name, all.State(), err)
		}
	}
}

var changes = map[string]func(*decide.View[int]) *decide.View[int]{
	"Tagged":      func(v *decide.View[int]) *decide.View[int] { return v.Tagged("account", "a") },
	"WithTags":    func(v *decide.View[int]) *decide.View[int] { return v.WithTags("account:a") },
	"OnlyLast":    (*decide.View[int]).OnlyLast,
	"SkipUnknown": (*decide.View[int]).SkipUnknown,
}

func panics(f func()) (reason any) {
	defer func() { reason = recover() }()
	f()
	return nil
}

func TestAPanicLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	d := decide.New(store, bank, nil)
	a := balance("a")
	if panics(func() { _, _ = d.Do(t.Context(), func() ([]any, error) { panic("function") }, a) }) != "function" {
		t.Error("a panic did not come through")
	}
	if _, err := d.Read(t.Context(), a); err != nil {
		t.Errorf("a view after a panic of the function: %v", err)
	}
	record(t, store, Deposited{"a", 1})
	bad := decide.NewView(0, decide.On(func(int, Deposited) int { panic("handler") }))
	if panics(func() { _, _ = d.Read(t.Context(), bad) }) != "handler" {
		t.Error("a panic did not come through")
	}
	if _, err := d.Read(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("a view after a panic of its handler: %v", err)
	}
}

// delicate is a state that cannot always be copied.
type delicate struct{ breaks *bool }

func (d delicate) Clone() delicate {
	if *d.breaks {
		panic("clone")
	}
	return d
}

func TestAPanicWhileViewsAreTakenLeavesNoneInUse(t *testing.T) {
	t.Parallel()
	store, breaks := memstore.New(nil), false
	record(t, store, Opened{"a"})
	d := decide.New(store, bank, nil)
	cached := decide.Cached(1, func(string) *decide.View[delicate] {
		return decide.NewView(delicate{&breaks}, decide.On(func(s delicate, _ Opened) delicate { return s }))
	})
	if _, err := d.Read(t.Context(), cached("x")); err != nil {
		t.Fatal(err)
	}
	first, second := balance("a"), cached("x")
	breaks = true
	if panics(func() { _, _ = d.Read(t.Context(), first, second) }) != "clone" {
		t.Error("a panic did not come through")
	}
	breaks = false
	if _, err := d.Read(t.Context(), first, second); err != nil {
		t.Errorf("after the panic: %v", err)
	}
}
