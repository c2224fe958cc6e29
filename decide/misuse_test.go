package decide_test

import (
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
)

// What is wrong with a program is told by the decision that meets it, before anything is read.
func TestWrongProjectionsAreRefused(t *testing.T) {
	t.Parallel()
	read := opened("a")
	if _, err := decide.New(memstore.New(nil), bank, nil).Read(t.Context(), read); err != nil {
		t.Fatal(err)
	}
	var none *decide.Projection[int]
	anyEvent := decide.OnAny(func(n int, _ any) int { return n })
	for says, projections := range map[string][]decide.AnyProjection{
		"no projections":                   {},
		"projections is nil":               {nil},
		"the projections is nil":           {none},
		`"account:" has no value`:          {opened("")},
		"has a colon":                      {deposits().Tagged("a:b", "c")},
		"is empty or has":                  {deposits().Tagged("", "c")},
		"nil has no value":                 {deposits().Tagged("a", nil)},
		"float64 cannot be":                {deposits().Tagged("a", 1.5)},
		`the tag "" has no value`:          {deposits().WithTags("")},
		"has no handlers":                  {decide.NewProjection(0)},
		"NewProjection makes one":          {new(decide.Projection[int])},
		"handlers has no function":         {decide.NewProjection(0, decide.Handler[int]{})},
		"has no function; On":              {decide.NewProjection(0, decide.On[int, Opened](nil))},
		"no function; On makes":            {decide.NewProjection(0, decide.OnRecorded[int, Opened](nil))},
		"function; On makes it":            {decide.NewProjection(0, decide.OnAny[int](nil))},
		"not in the codec":                 {decide.NewProjection(0, decide.On(func(n int, _ Unregistered) int { return n }))},
		"two handlers":                     {decide.NewProjection(0, decide.On(func(n int, _ Opened) int { return n }), decide.On(func(n int, _ Opened) int { return n }))},
		"two handlers for <nil>":           {decide.NewProjection(0, anyEvent, anyEvent)},
		"cannot skip":                      {decide.NewProjection(0, anyEvent).OnlyLastEvent().SkipUnknown()},
		`"owner:a", and handles`:           {balance("a").Tagged("owner", "a")},
		"in the codec has all of its tags": {decide.NewProjection(0, anyEvent).Tagged("account", "a").Tagged("owner", "a")},
		"by another runner":                {read},
		"key of a command is":              {decide.IdempotencyKey("")},
		"two keys":                         {opened("a"), decide.IdempotencyKey("k"), decide.IdempotencyKey("l")},
		"two keys, \"k\" and \"k":          {decide.IdempotencyKey("k"), decide.IdempotencyKey("k")},
	} {
		store := &spy{Store: memstore.New(nil), read: func(dcb.Query, dcb.ReadOptions) { t.Errorf("%s: the store was read", says) }}
		_, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}), projections...)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want it to say %q", err, says)
		}
	}
}

func TestARunnerNeedsAllOfItsParts(t *testing.T) {
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

func TestAProjectionThatWasRefusedIsStillGoodWhereItBelongs(t *testing.T) {
	t.Parallel()
	projection, d := opened("a"), decide.New(memstore.New(nil), bank, nil)
	for range 2 {
		if _, err := d.Read(t.Context(), projection); err != nil {
			t.Error(err)
		}
		if _, err := decide.New(memstore.New(nil), bank, nil).Read(t.Context(), projection); err == nil {
			t.Error("a projection was read by two runners")
		}
	}
}

func TestAProjectionTwiceIsOne(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	record(t, store, Deposited{"a", 1})
	a, key := balance("a"), decide.IdempotencyKey("k")
	if _, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}), a, key, a, key); err != nil || a.State() != 1 {
		t.Errorf("%v; the state is %d", err, a.State())
	}
}

// Their types can only be had by embedding what this package made.
type (
	namedKey        struct{ decide.AnyProjection }
	namedProjection struct {
		*decide.Projection[int]
		names []string
	}
)

func TestWhatEmbedsAProjectionOrAKeyIsOne(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	d := decide.New(store, bank, nil)
	for range 2 {
		a := namedProjection{balance("a"), []string{"a"}}
		if _, err := d.Do(t.Context(), always(Deposited{"a", 1}), namedKey{decide.IdempotencyKey("k")}, a, opened("a"), a); err != nil {
			t.Error(err)
		}
	}
	if head, err := store.Head(t.Context()); head != 1 || err != nil {
		t.Errorf("a command with a key was recorded %d times, %v", head, err)
	}
}

func TestAProjectionInUseIsRefusedElsewhere(t *testing.T) {
	t.Parallel()
	d, a := decide.New(memstore.New(nil), bank, nil), balance("a")
	_, err := d.Do(t.Context(), func() ([]any, error) {
		for range 2 {
			if _, err := d.Read(t.Context(), opened("b"), a); err == nil || !strings.Contains(err.Error(), "in use") {
				t.Errorf("a projection that is in use: %v", err)
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

func TestWhichProjectionsAreInUseIsSettledWhenADecisionBegins(t *testing.T) {
	t.Parallel()
	d, a, b := decide.New(memstore.New(nil), bank, nil), balance("a"), balance("b")
	projections := []decide.AnyProjection{a, a}
	_, err := d.Do(t.Context(), func() ([]any, error) {
		projections[0], projections[1] = b, b // it is the caller's slice
		return nil, nil
	}, projections...)
	if err != nil {
		t.Error(err)
	}
	if _, err := d.Read(t.Context(), a, b); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestADecisionThatChangesItsProjectionsIsNotRecorded(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	for name, change := range changes {
		projection := deposits()
		_, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
			change(projection)
			return decide.Events(Opened{"a"}), nil
		}, projection)
		if head, _ := store.Head(t.Context()); err == nil || !strings.Contains(err.Error(), "changed after it was used") || head != 0 {
			t.Errorf("%s: %v; the head is %d", name, err, head)
		}
	}
}

func TestAProjectionIsNotChangedAfterItWasUsed(t *testing.T) {
	t.Parallel()
	d := decide.New(memstore.New(nil), bank, nil)
	for name, change := range changes {
		projection := deposits()
		if _, err := d.Read(t.Context(), projection); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read(t.Context(), change(projection)); err == nil || !strings.Contains(err.Error(), "changed after it was used") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A cached projection that looked at something else than others with its key would share its state with them.
func TestACachedProjectionIsNotChanged(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	record(t, store, Deposited{"a", 1}, Deposited{"b", 1})
	d, cached := decide.New(store, bank, nil), decide.Cached(1, func(string) *decide.Projection[int] { return deposits() })
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

var changes = map[string]func(*decide.Projection[int]) *decide.Projection[int]{
	"Tagged":        func(v *decide.Projection[int]) *decide.Projection[int] { return v.Tagged("account", "a") },
	"WithTags":      func(v *decide.Projection[int]) *decide.Projection[int] { return v.WithTags("account:a") },
	"OnlyLastEvent": (*decide.Projection[int]).OnlyLastEvent,
	"SkipUnknown":   (*decide.Projection[int]).SkipUnknown,
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
		t.Errorf("a projection after a panic of the function: %v", err)
	}
	record(t, store, Deposited{"a", 1})
	bad := decide.NewProjection(0, decide.On(func(int, Deposited) int { panic("handler") }))
	if panics(func() { _, _ = d.Read(t.Context(), bad) }) != "handler" {
		t.Error("a panic did not come through")
	}
	if _, err := d.Read(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("a projection after a panic of its handler: %v", err)
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

func TestAPanicWhileProjectionsAreTakenLeavesNoneInUse(t *testing.T) {
	t.Parallel()
	store, breaks := memstore.New(nil), false
	record(t, store, Opened{"a"})
	d := decide.New(store, bank, nil)
	cached := decide.Cached(1, func(string) *decide.Projection[delicate] {
		return decide.NewProjection(delicate{&breaks}, decide.On(func(s delicate, _ Opened) delicate { return s }))
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
