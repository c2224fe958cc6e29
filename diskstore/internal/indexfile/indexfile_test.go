package indexfile_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// newRandom returns random numbers whose seed is printed.
func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestAnIndexAnswersWhatItsSourceDid(t *testing.T) {
	t.Parallel()
	for _, events := range []int{0, 1, 2, 7, 43, 44, 45, 127, 128, 129, 255, 256, 257, 1000, 5000, 70_000} {
		for _, types := range []int{1, 3, 256, 257, 70_000} {
			r := rand.New(rand.NewPCG(uint64(events), uint64(types)))
			m := randomModel(r, events, types, events/3+1)
			x := write(t, m.meta(), m)
			if err := m.compare(x); err != nil {
				t.Fatalf("%d events, %d types: %v", events, types, err)
			}
			check(t, x.Verify(context.Background()))
			if x.Meta() != m.meta() || x.Count() != m.Count() {
				t.Fatalf("the file says of itself %+v", x.Meta())
			}
		}
	}
}

func TestAMergeOfMergesAnswersWhatAllSourcesDid(t *testing.T) {
	t.Parallel()
	r := newRandom(t)
	for range 20 {
		merged, x := mergeRandom(t, r, 3)
		if err := merged.compare(x); err != nil {
			t.Fatal(err)
		}
		check(t, x.Verify(t.Context()))
		// The shape of the merges leaves no trace in the file.
		if f := written(t, merged.meta(), merged); int64(len(f)) != x.Bytes() || !bytes.Equal(f, written(t, merged.meta(), x)) {
			t.Fatal("the merge is not the file that one source of all events makes")
		}
	}
}

// mergeRandom returns the index of a tree of merges, and its model.
func mergeRandom(t *testing.T, r *rand.Rand, depth int) (*model, *indexfile.Index) {
	t.Helper()
	if depth == 0 || r.IntN(4) == 0 {
		m := randomModel(r, []int{0, 1, r.IntN(300), r.IntN(3000)}[r.IntN(4)], 1+r.IntN(300), 1+r.IntN(1000))
		return m, write(t, m.meta(), m)
	}
	merged := newModel()
	merged.segments = 0
	var sources []indexfile.Source
	for range 1 + r.IntN(4) {
		m, x := mergeRandom(t, r, depth-1)
		merged.join(m)
		if r.IntN(2) == 0 {
			sources = append(sources, x)
		} else {
			m.sort()
			sources = append(sources, m)
		}
	}
	return merged, write(t, merged.meta(), sources...)
}

func TestAnyByteThatChangedIsFound(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 300, 3, 50)
	b := written(t, m.meta(), m)
	for i := range b {
		broken := slices.Clone(b)
		broken[i] ^= 1 << (i % 8)
		x, err := openBytes(broken)
		if err == nil {
			if err := m.compare(x); err != nil && !errors.Is(err, indexfile.ErrBroken) {
				t.Fatalf("byte %d of %d: %v", i, len(b), err)
			}
			err = x.Verify(t.Context())
		}
		if !errors.Is(err, indexfile.ErrBroken) {
			t.Fatalf("byte %d of %d: %v", i, len(b), err)
		}
	}
}

func TestABrokenPageLeavesTheOthersRight(t *testing.T) {
	t.Parallel()
	r := newRandom(t)
	m := randomModel(r, 20_000, 300, 3000)
	b := written(t, m.meta(), m)
	right, wrong := 0, 0
	for range 50 {
		broken := slices.Clone(b)
		for range 1 + r.IntN(3) {
			broken[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
		}
		x, err := openBytes(broken)
		if err != nil {
			continue
		}
		for key, want := range m.lists {
			have, err := listOf(x, key)
			switch {
			case err == nil && slices.Equal(have, want):
				right++
			case errors.Is(err, indexfile.ErrBroken):
				wrong++
			default:
				t.Fatalf("term %#x: have %v, %v, want %v", key, have, err, want)
			}
		}
		if err := x.Verify(t.Context()); !errors.Is(err, indexfile.ErrBroken) {
			t.Fatalf("Verify: %v", err)
		}
	}
	if right < wrong || wrong == 0 {
		t.Fatalf("%d lists are right, %d are broken", right, wrong)
	}
}

func TestAFileThatWasCutOffDoesNotOpen(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 300, 3, 50)
	b := written(t, m.meta(), m)
	for size := range b {
		if _, err := openBytes(b[:size]); !errors.Is(err, indexfile.ErrBroken) {
			t.Fatalf("%d of %d bytes: %v", size, len(b), err)
		}
	}
	if _, err := openBytes(append(slices.Clone(b), 0)); !errors.Is(err, indexfile.ErrBroken) {
		t.Fatalf("one byte too many: %v", err)
	}
}

// Whatever has the right checksums and the wrong content is found by Verify, or the answers are at least answers.
func TestAFileOfNonsenseWithChecksumsIsNoPanic(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 400, 3, 50)
	b := written(t, m.meta(), m)
	found := 0
	for i := range b {
		broken := slices.Clone(b)
		broken[i] ^= 1 << (i % 8)
		if !indexfile.Reseal(broken) {
			continue
		}
		x, err := openBytes(broken)
		check(t, err)
		_ = m.compare(x) // anything, but no panic
		if x.Verify(t.Context()) != nil {
			found++
		}
	}
	if found < len(b)/2 {
		t.Errorf("Verify found %d of %d", found, len(b))
	}
}

func TestAnotherVersionIsCalledByName(t *testing.T) {
	t.Parallel()
	b := written(t, newModel().meta(), newModel())
	indexfile.SetVersion(b, indexfile.Version+1)
	if _, err := openBytes(b); !errors.Is(err, indexfile.ErrVersion) {
		t.Fatal(err)
	}
}

func TestAMissingFileDoesNotOpen(t *testing.T) {
	t.Parallel()
	if _, err := indexfile.Open(newMemory(), "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestAFaultOfTheDiskIsReturned(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 20_000, 300, 3000)
	whole := &memoryFile{fail: -1}
	check(t, indexfile.Write(t.Context(), whole, m.meta(), m))
	for fail := range whole.calls {
		if err := indexfile.Write(t.Context(), &memoryFile{fail: fail}, m.meta(), m); !errors.Is(err, errDisk) {
			t.Fatalf("call %d of %d fails: %v", fail, whole.calls, err)
		}
	}
}

func TestWritingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 20_000, 300, 3000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := &memoryFile{fail: -1}
	if err := indexfile.Write(ctx, f, m.meta(), m); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := write(t, m.meta(), m).Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// liar is a source with a fault.
type liar struct {
	*model
	terms  func(kind term.Kind, into []indexfile.Term)
	events func(into []indexfile.Event)
	err    error
}

func (l *liar) ReadTerms(kind term.Kind, rank int, into []indexfile.Term) error {
	err := l.model.ReadTerms(kind, rank, into)
	if l.terms != nil {
		l.terms(kind, into)
	}
	return errors.Join(err, l.err)
}

func (l *liar) ReadEvents(offset uint32, into []indexfile.Event) error {
	err := l.model.ReadEvents(offset, into)
	if l.events != nil {
		l.events(into)
	}
	return err
}

func TestASourceThatContradictsItselfIsRefused(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 300, 3, 50)
	empty := write(t, newModel().meta(), newModel())
	for name, l := range map[string]*liar{
		"an error":              {err: indexfile.ErrBroken},
		"descending keys":       {terms: func(_ term.Kind, into []indexfile.Term) { slices.Reverse(into) }},
		"another kind":          {terms: func(kind term.Kind, into []indexfile.Term) { into[0].Key += 1 << 62 }},
		"an empty list":         {terms: func(_ term.Kind, into []indexfile.Term) { into[0].List = postings.List{} }},
		"an impossible type":    {events: func(into []indexfile.Event) { into[len(into)-1].Type = 3 }},
		"a key that is twofold": {terms: func(_ term.Kind, into []indexfile.Term) { into[1].Key = into[0].Key }},
	} {
		l.model = m
		if err := indexfile.Write(t.Context(), &memoryFile{fail: -1}, m.meta(), empty, l); !errors.Is(err, indexfile.ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	meta := m.meta()
	meta.Count++
	if err := indexfile.Write(t.Context(), &memoryFile{fail: -1}, meta, m); err == nil {
		t.Error("a count that is not that of the sources is accepted")
	}
}

func TestManyMayLookAtTheSameTime(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 3000, 30, 500)
	x := write(t, m.meta(), m)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := m.compare(x); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

var update = flag.Bool("update", false, "write the golden file anew")

func TestTheFormatIsThatOfTheGoldenFile(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(11, 12)), 500, 5, 60)
	other := randomModel(rand.New(rand.NewPCG(13, 14)), 77, 7, 60)
	other.sort()
	m.join(other)
	b := written(t, m.meta(), m)
	name := filepath.Join("testdata", "version1.index")
	if *update {
		check(t, os.WriteFile(name, b, 0o644))
	}
	golden, err := os.ReadFile(name)
	check(t, err)
	if !bytes.Equal(b, golden) {
		t.Error("what is written is not the golden file; a change of the format needs another version")
	}
	x := opened(t, golden)
	check(t, m.compare(x))
	check(t, x.Verify(t.Context()))
}

func FuzzOpen(f *testing.F) {
	for _, events := range []int{0, 1, 10, 200} {
		m := randomModel(rand.New(rand.NewPCG(1, uint64(events))), events, 1+events/10, 1+events/20)
		f.Add(written(f, m.meta(), m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Clone(b)
		if !indexfile.Reseal(b) {
			if _, err := openBytes(b); err == nil {
				t.Fatal("it opens")
			}
			return
		}
		x, err := openBytes(b)
		check(t, err)
		err = x.Verify(t.Context())
		for kind := range term.Kind(term.Kinds) {
			terms := make([]indexfile.Term, min(x.TermCount(kind), 100))
			if err2 := x.ReadTerms(kind, 0, terms); err == nil && err2 != nil {
				t.Fatal(err2)
			}
			for _, want := range terms {
				have, err2 := listOf(x, want.Key)
				if err == nil && (err2 != nil || len(have) != want.List.Len()) {
					t.Fatalf("Verify is content, and the list of %#x: %d offsets, %v", want.Key, len(have), err2)
				}
			}
		}
		for offset := range min(x.Count(), 100) {
			if _, _, err2 := x.Event(offset); err == nil && err2 != nil {
				t.Fatal(err2)
			}
		}
		err2 := indexfile.Write(t.Context(), &memoryFile{fail: -1}, x.Meta(), x)
		if err == nil && err2 != nil {
			t.Fatal(err2)
		}
	})
}
