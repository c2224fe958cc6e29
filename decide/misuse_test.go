package decide_test

import (
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
)

// A decision reports a mistake in its projections before it reads the store.
func TestDoRefusesInvalidProjections(t *testing.T) {
	t.Parallel()
	read := opened("a")
	if _, err := decide.New(memstore.New(nil), bank, nil).Read(t.Context(), read); err != nil {
		t.Fatal(err)
	}
	var none *decide.Projection[int]
	onAny := decide.OnAny(func(n int, _ any) int { return n })
	onOpened := decide.On(func(n int, _ Opened) int { return n })
	for text, projections := range map[string][]decide.AnyProjection{
		"no projections; pass":                {},
		"projection 1: it is nil":             {nil},
		"projection 2: it is nil":             {opened("a"), none},
		`"account:" has no value`:             {opened("")},
		`"a:b" is empty or contains a colon`:  {deposits().Tagged("a:b", "c")},
		`the tag key "" is empty`:             {deposits().Tagged("", "c")},
		"nil cannot be":                       {deposits().Tagged("a", nil)},
		"float64 cannot be":                   {deposits().Tagged("a", 1.5)},
		`WithTags: the tag "" has no value`:   {deposits().WithTags("")},
		"has no handlers":                     {decide.NewProjection(0)},
		"pass them to NewProjection":          {new(decide.Projection[int])},
		"handler 1 has no function":           {decide.NewProjection(0, decide.Handler[int]{})},
		"handler 1 has no function; make":     {decide.NewProjection(0, decide.On[int, Opened](nil))},
		"has no function; make it with":       {decide.NewProjection(0, decide.OnRecorded[int, Opened](nil))},
		"make it with On, OnRecorded or":      {decide.NewProjection(0, decide.OnAny[int](nil))},
		"not in the codec":                    {decide.NewProjection(0, decide.On(func(n int, _ Unregistered) int { return n }))},
		"two handlers for decide_test.Opened": {decide.NewProjection(0, onOpened, onOpened)},
		"two handlers for events of any type": {decide.NewProjection(0, onAny, onAny)},
		"exclude each other":                  {decide.NewProjection(0, onAny).OnlyLastEvent().SkipUnknown()},
		`tagged "owner:a" and handles`:        {balance("a").Tagged("owner", "a")},
		"in the codec has all of its tags":    {decide.NewProjection(0, onAny).Tagged("account", "a").Tagged("owner", "a")},
		"by another runner":                   {read},
		"the idempotency key is empty":        {decide.IdempotencyKey("")},
		"two idempotency keys":                {opened("a"), decide.IdempotencyKey("k"), decide.IdempotencyKey("l")},
		`two idempotency keys, "k" and "k"`:   {decide.IdempotencyKey("k"), decide.IdempotencyKey("k")},
	} {
		store := &spy{Store: memstore.New(nil), read: func(dcb.Query, dcb.ReadOptions) { t.Errorf("%s: Do read the store", text) }}
		_, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}), projections...)
		if !failsWith(err, text) {
			t.Errorf("Do(…) = %v, want an error with %q", err, text)
		}
	}
}

func TestDoRefusesANilFunction(t *testing.T) {
	t.Parallel()
	_, err := decide.New(memstore.New(nil), bank, nil).Do(t.Context(), nil, opened("a"))
	if !failsWith(err, "the function is nil") {
		t.Errorf("Do(nil) = %v", err)
	}
}

func TestNewPanicsOnInvalidArguments(t *testing.T) {
	t.Parallel()
	for text, broken := range map[string]func(){
		"the store is nil":           func() { decide.New(nil, bank, nil) },
		"the codec is nil":           func() { decide.New(memstore.New(nil), nil, nil) },
		"Options.Attempts is -1; it": func() { decide.New(memstore.New(nil), bank, &decide.Options{Attempts: -1}) },
	} {
		if reason, ok := panics(broken).(string); !ok || !strings.Contains(reason, text) {
			t.Errorf("New panicked with %q, want a text with %q", reason, text)
		}
	}
}

func TestReadRefusesProjectionsOfAnotherRunner(t *testing.T) {
	t.Parallel()
	projection, runner := opened("a"), decide.New(memstore.New(nil), bank, nil)
	for range 2 {
		if _, err := runner.Read(t.Context(), projection); err != nil {
			t.Errorf("Read by the first runner = %v", err)
		}
		if _, err := decide.New(memstore.New(nil), bank, nil).Read(t.Context(), projection); err == nil {
			t.Error("a second runner read the projection")
		}
	}
}

func TestDoAcceptsAProjectionTwice(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	record(t, store, Deposited{"a", 1})
	a, key := balance("a"), decide.IdempotencyKey("k")
	if _, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}), a, key, a, key); err != nil || a.State() != 1 {
		t.Errorf("Do(…) = %v with state %d, want state 1", err, a.State())
	}
}

// Types outside of package decide can be an AnyProjection only if they embed one.
type (
	namedKey        struct{ decide.AnyProjection }
	namedProjection struct {
		*decide.Projection[int]
		names []string
	}
)

func TestDoAcceptsTypesThatEmbedProjections(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	runner := decide.New(store, bank, nil)
	for range 2 {
		a := namedProjection{balance("a"), []string{"a"}}
		if _, err := runner.Do(t.Context(), always(Deposited{"a", 1}), namedKey{decide.IdempotencyKey("k")}, a, opened("a"), a); err != nil {
			t.Error(err)
		}
	}
	if head, err := store.Head(t.Context()); head != 1 || err != nil {
		t.Errorf("the head is %d (error %v), want the command recorded once", head, err)
	}
}

func TestReadRefusesAProjectionInUse(t *testing.T) {
	t.Parallel()
	runner, a := decide.New(memstore.New(nil), bank, nil), balance("a")
	_, err := runner.Do(t.Context(), func() ([]any, error) {
		for range 2 {
			if _, err := runner.Read(t.Context(), opened("b"), a); !failsWith(err, "in use") {
				t.Errorf("Read of a projection in use = %v", err)
			}
		}
		return nil, nil
	}, a)
	if err != nil {
		t.Error(err)
	}
	if _, err := runner.Read(t.Context(), a); err != nil {
		t.Errorf("Read after the decision = %v", err)
	}
}

func TestDoCopiesItsArguments(t *testing.T) {
	t.Parallel()
	runner, a, b := decide.New(memstore.New(nil), bank, nil), balance("a"), balance("b")
	projections := []decide.AnyProjection{a, a}
	_, err := runner.Do(t.Context(), func() ([]any, error) {
		projections[0], projections[1] = b, b // the slice belongs to the caller
		return nil, nil
	}, projections...)
	if err != nil {
		t.Error(err)
	}
	if _, err := runner.Read(t.Context(), a, b); err != nil {
		t.Errorf("Read after the decision = %v", err)
	}
}

func TestDoRefusesProjectionsThatItsFunctionChanged(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	for name, change := range changes {
		projection := deposits()
		_, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
			change(projection)
			return decide.Events(Opened{"a"}), nil
		}, projection)
		if head, _ := store.Head(t.Context()); !failsWith(err, "changed after its first use") || head != 0 {
			t.Errorf("Do after %s = %v with head %d, want an error and nothing recorded", name, err, head)
		}
	}
}

func TestReadRefusesProjectionsChangedAfterUse(t *testing.T) {
	t.Parallel()
	runner := decide.New(memstore.New(nil), bank, nil)
	for name, change := range changes {
		projection := deposits()
		if _, err := runner.Read(t.Context(), projection); err != nil {
			t.Fatal(err)
		}
		if _, err := runner.Read(t.Context(), change(projection)); !failsWith(err, "changed after its first use") {
			t.Errorf("Read after %s = %v", name, err)
		}
	}
}

// A cached projection with another query would store a wrong state for its key.
func TestCachedRefusesChangedProjections(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	record(t, store, Deposited{"a", 1}, Deposited{"b", 1})
	runner, cached := decide.New(store, bank, nil), decide.Cached(1, func(string) *decide.Projection[int] { return deposits() })
	for name, change := range changes {
		if _, err := runner.Read(t.Context(), change(cached("x"))); !failsWith(err, "made by Cached and then changed") {
			t.Errorf("Read after %s = %v", name, err)
		}
		all := cached("x")
		if _, err := runner.Read(t.Context(), all); err != nil || all.State() != 2 {
			t.Errorf("after %s the cached state is %d (error %v), want 2", name, all.State(), err)
		}
	}
}

var changes = map[string]func(*decide.Projection[int]) *decide.Projection[int]{
	"Tagged":        func(p *decide.Projection[int]) *decide.Projection[int] { return p.Tagged("account", "a") },
	"WithTags":      func(p *decide.Projection[int]) *decide.Projection[int] { return p.WithTags("account:a") },
	"OnlyLastEvent": (*decide.Projection[int]).OnlyLastEvent,
	"SkipUnknown":   (*decide.Projection[int]).SkipUnknown,
}

func panics(f func()) (reason any) {
	defer func() { reason = recover() }()
	f()
	return nil
}

func TestDoReleasesProjectionsAfterAPanic(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	runner := decide.New(store, bank, nil)
	a := balance("a")
	if panics(func() { _, _ = runner.Do(t.Context(), func() ([]any, error) { panic("function") }, a) }) != "function" {
		t.Error("the panic was swallowed")
	}
	if _, err := runner.Read(t.Context(), a); err != nil {
		t.Errorf("Read after a panic of the function = %v", err)
	}
	record(t, store, Deposited{"a", 1})
	bad := decide.NewProjection(0, decide.On(func(int, Deposited) int { panic("handler") }))
	if panics(func() { _, _ = runner.Read(t.Context(), bad) }) != "handler" {
		t.Error("the panic was swallowed")
	}
	if _, err := runner.Read(t.Context(), bad); !failsWith(err, "panicked") {
		t.Errorf("Read after a panic of a handler = %v", err)
	}
}

// delicate is a state whose Clone can panic.
type delicate struct{ breaks *bool }

func (d delicate) Clone() delicate {
	if *d.breaks {
		panic("clone")
	}
	return d
}

func TestReadReleasesProjectionsIfClonePanics(t *testing.T) {
	t.Parallel()
	store, breaks := memstore.New(nil), false
	record(t, store, Opened{"a"})
	runner := decide.New(store, bank, nil)
	cached := decide.Cached(1, func(string) *decide.Projection[delicate] {
		return decide.NewProjection(delicate{&breaks}, decide.On(func(s delicate, _ Opened) delicate { return s }))
	})
	if _, err := runner.Read(t.Context(), cached("x")); err != nil {
		t.Fatal(err)
	}
	first, second := balance("a"), cached("x")
	breaks = true
	if panics(func() { _, _ = runner.Read(t.Context(), first, second) }) != "clone" {
		t.Error("the panic was swallowed")
	}
	breaks = false
	if _, err := runner.Read(t.Context(), first, second); err != nil {
		t.Errorf("Read after the panic = %v", err)
	}
}
