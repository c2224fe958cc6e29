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
	"github.com/dcbstore/dcb/internal/vfs"
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
	for _, events := range []int{0, 1, 2, 7, 43, 44, 45, 127, 128, 129, 255, 256, 257, 1000, 3000} {
		for _, types := range []int{1, 256, 257} {
			r := rand.New(rand.NewPCG(uint64(events), uint64(types)))
			answers(t, randomModel(r, events, types, events/3+1))
		}
	}
}

func TestAnIndexMayHaveMoreTypesThanTwoBytesCount(t *testing.T) {
	t.Parallel()
	m := newModel()
	for i := range 66_000 {
		m.add(uint32(i), typeKey(i))
	}
	answers(t, m)
}

func answers(t *testing.T, m *model) {
	t.Helper()
	x := write(t, m.meta(), m)
	if err := m.compare(x); err != nil {
		t.Fatalf("%d events, %d types: %v", m.Count(), m.TermCount(term.Type), err)
	}
	check(t, x.Verify(t.Context()))
	if x.Meta() != m.meta() || x.Count() != m.Count() {
		t.Fatalf("the file says of itself %+v", x.Meta())
	}
	for kind := range term.Kind(term.Kinds) {
		if x.TermCount(kind) != m.TermCount(kind) {
			t.Fatalf("it has %d terms of kind %d, want %d", x.TermCount(kind), kind, m.TermCount(kind))
		}
	}
}

func TestAMergeOfMergesAnswersWhatAllSourcesDid(t *testing.T) {
	t.Parallel()
	r := newRandom(t)
	for range 10 {
		merged, x := mergeRandom(t, r, 3)
		if err := merged.compare(x); err != nil {
			t.Fatal(err)
		}
		check(t, x.Verify(t.Context()))
		for kind := range term.Kind(term.Kinds) {
			events := make(map[term.Key]uint64)
			terms, err := indexfile.CountTerms(t.Context(), kind, events, merged)
			check(t, err)
			if terms != x.TermCount(kind) || len(events) != terms {
				t.Fatalf("%d terms of kind %d, %d with events, want %d", terms, kind, len(events), x.TermCount(kind))
			}
		}
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
		x, err := openBytes(t, broken)
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
	for range 20 {
		broken := slices.Clone(b)
		for range 1 + r.IntN(3) {
			broken[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
		}
		x, err := openBytes(t, broken)
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
		if _, err := openBytes(t, b[:size]); !errors.Is(err, indexfile.ErrBroken) {
			t.Fatalf("%d of %d bytes: %v", size, len(b), err)
		}
	}
	if _, err := openBytes(t, append(slices.Clone(b), 0)); !errors.Is(err, indexfile.ErrBroken) {
		t.Fatalf("one byte too many: %v", err)
	}
}

// Whatever has the right checksums and the wrong content is found by Verify, or the answers are at least answers.
func TestAFileOfNonsenseWithChecksumsIsNoPanic(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 400, 3, 50)
	b := written(t, m.meta(), m)
	found := 0
	for i := 0; i < len(b); i += 5 {
		broken := slices.Clone(b)
		broken[i] ^= 1 << (i % 8)
		if !indexfile.Reseal(broken) {
			continue
		}
		x, err := openBytes(t, broken)
		check(t, err)
		_ = m.compare(x) // anything, but no panic
		if x.Verify(t.Context()) != nil {
			found++
		}
	}
	if found < len(b)/10 {
		t.Errorf("Verify found %d of %d", found, len(b)/5)
	}
}

func TestAnotherVersionIsCalledByName(t *testing.T) {
	t.Parallel()
	b := written(t, newModel().meta(), newModel())
	indexfile.SetVersion(b, indexfile.Version+1)
	if _, err := openBytes(t, b); !errors.Is(err, indexfile.ErrVersion) {
		t.Fatal(err)
	}
}

func TestAMissingFileDoesNotOpen(t *testing.T) {
	t.Parallel()
	if _, err := indexfile.Open(vfs.NewMem(), "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestAFaultOfTheDiskIsReturned(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 20_000, 300, 3000)
	errDisk := errors.New("the disk is at fault")
	for fail := int64(2); ; fail++ { // the first operation creates the file
		fs, reached := vfs.NewMem(), false
		fs.Inject(func(op vfs.Op) error {
			if op.N == fail {
				reached = true
				return errDisk
			}
			return nil
		})
		err := writeTo(t.Context(), fs, m.meta(), m)
		if !reached && err == nil && fail > 10 {
			return
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("operation %d fails: %v", fail, err)
		}
	}
}

func TestAFullDiskIsReturned(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 20_000, 300, 3000)
	size := len(written(t, m.meta(), m))
	for room := size - 1; room > 0; room -= size / 20 {
		fs := vfs.NewMem()
		fs.SetCapacity(int64(room))
		if err := writeTo(t.Context(), fs, m.meta(), m); !vfs.IsFull(err) {
			t.Fatalf("room for %d of %d bytes: %v", room, size, err)
		}
	}
}

func TestWritingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 20_000, 300, 3000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := writeTo(ctx, vfs.NewMem(), m.meta(), m); !errors.Is(err, context.Canceled) {
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
		if err := writeTo(t.Context(), vfs.NewMem(), m.meta(), empty, l); !errors.Is(err, indexfile.ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	meta := m.meta()
	meta.Count++
	if err := writeTo(t.Context(), vfs.NewMem(), meta, m); err == nil {
		t.Error("a count that is not that of the sources is accepted")
	}
}

func TestVerifyFindsWhatContradictsItself(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 300, 3, 50)
	b := written(t, m.meta(), m)
	column, buckets, entries := indexfile.Places(opened(t, b))
	for name, change := range map[string]func(b []byte){
		"places that descend":                  func(b []byte) { clear(b[column+5 : column+9]) },
		"an event in the list of another type": func(b []byte) { b[column+4] = (b[column+4] + 1) % 3 },
		"an event of a type that there is not": func(b []byte) { b[column+4] = 3 },
		"a bucket that begins elsewhere":       func(b []byte) { b[buckets]++ },
		"a filter without a key":               func(b []byte) { clear(b[buckets+8 : buckets+16]) },
		"keys that descend":                    func(b []byte) { clear(b[entries+16 : entries+24]) },
		"a list that is nowhere":               func(b []byte) { b[entries+15] = 254 },
		"a list beyond the end":                func(b []byte) { copy(b[entries+8:], []byte{0, 0, 0, 1, 0, 0, 0, 255}) },
		"a list of one beyond the last event":  func(b []byte) { copy(b[entries+8:], []byte{0, 0, 0, 1, 0, 0, 0, 1}) },
	} {
		broken := slices.Clone(b)
		change(broken)
		if bytes.Equal(b, broken) || !indexfile.Reseal(broken) {
			t.Fatalf("%s: nothing is changed", name)
		}
		if err := opened(t, broken).Verify(t.Context()); !errors.Is(err, indexfile.ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
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

func TestAnIndexOnTheDiskOfTheMachineIsLikeAnyOther(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 20_000, 300, 3000)
	name := filepath.Join(t.TempDir(), "an index")
	f, err := vfs.OS().Create(name)
	check(t, err)
	check(t, indexfile.Write(t.Context(), f, m.meta(), m))
	check(t, f.Close())
	x, err := indexfile.Open(vfs.OS(), name)
	check(t, err)
	check(t, m.compare(x))
	check(t, x.Verify(t.Context()))
	check(t, x.Close())
}

func FuzzOpen(f *testing.F) {
	for _, events := range []int{0, 1, 10, 200} {
		m := randomModel(rand.New(rand.NewPCG(1, uint64(events))), events, 1+events/10, 1+events/20)
		f.Add(written(f, m.meta(), m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Clone(b)
		if !indexfile.Reseal(b) {
			if _, err := openBytes(t, b); err == nil {
				t.Fatal("it opens")
			}
			return
		}
		x, err := openBytes(t, b)
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
		err2 := writeTo(t.Context(), vfs.NewMem(), x.Meta(), x)
		if err == nil && err2 != nil {
			t.Fatal(err2)
		}
	})
}
