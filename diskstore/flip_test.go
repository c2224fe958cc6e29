package diskstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/internal/model"
	"github.com/dcbstore/dcb/internal/vfs"
)

const flipsVariable = "DCB_FLIPS" // how many bits are flipped, if it is set; all bytes of headers are in any case

// flip is one bit of one file.
type flip struct {
	path   string
	offset int64
	mask   byte
}

func (f flip) String() string {
	return fmt.Sprintf("%s, offset %d, bits %#02x", f.path, f.offset, f.mask)
}

// flipsOf draws a bit of each byte of the headers of all files, and some of the other bytes.
func flipsOf(t *testing.T, mem *vfs.Mem, random *rand.Rand, most int) (flips []flip) {
	t.Helper()
	var others []flip
	for _, path := range filesOf(t, mem, "") {
		b := mem.ReadFile(path)
		first := 128 // of an index file
		if filepath.Ext(path) == ".log" {
			first = frame.SegmentBytes + frame.HeaderBytes
		}
		for offset := range b {
			f := flip{path, int64(offset), 1 << random.IntN(8)}
			if offset < first {
				flips = append(flips, f)
			} else {
				others = append(others, f)
			}
		}
	}
	random.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	return append(flips, others[:min(len(others), max(0, most-len(flips)))]...)
}

// flipped is a store of which some bit will be wrong, and what it held before.
type flipped struct {
	original *vfs.Mem
	known    *oracle
	log      model.Log
	last     string // the segment that was appended to
	end      int64  // where its mark begins
}

func newFlipped(t *testing.T, seed uint64) *flipped {
	t.Helper()
	f := &flipped{}
	f.original, f.known = filled(t, seed, 40)
	s := open(t, dir, small(f.original.Clone()))
	result, err := s.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.log = result.Events
	logs := filesOf(t, f.original, ".log")
	f.last = logs[len(logs)-1]
	f.end = int64(len(f.original.ReadFile(f.last))) - frame.HeaderBytes
	return f
}

func TestABitThatIsWrongIsNeverBelieved(t *testing.T) {
	t.Parallel()
	seed, _ := seedOf(t)
	f := newFlipped(t, seed)
	for name, try := range map[string]func(ctx context.Context, random *rand.Rand, bit flip) error{
		"when the store is opened": f.flipClosed,
		"while the store is open":  f.flipOpen,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := randomOf(seed, 77)
			bits := flipsOf(t, f.original, random, number(t, flipsVariable, 3000))
			for _, bit := range bits {
				if err := try(t.Context(), random, bit); err != nil {
					t.Fatalf("%s=%d: %v: %v", history.SeedVariable, seed, bit, err)
				}
			}
			t.Logf("%d bits were flipped", len(bits))
		})
	}
}

// flipClosed flips a bit of a store that is closed, and uses it.
func (f *flipped) flipClosed(ctx context.Context, random *rand.Rand, bit flip) (err error) {
	mem := f.original.Clone()
	mem.Flip(bit.path, bit.offset, bit.mask)
	s, err := diskstore.Open(dir, small(mem))
	if err != nil {
		return isNamed(err, bit)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if bit.path == f.last && bit.offset < f.end {
		return errors.New("the segment that was appended to is damaged, and the store was opened")
	}
	if err := f.use(ctx, s, random, bit); err != nil || !isIndex(bit) {
		return err
	}
	if now := mem.ReadFile(bit.path); s.Metrics().Rebuilds == 0 && len(now) > int(bit.offset) && now[bit.offset] != f.original.ReadFile(bit.path)[bit.offset] {
		return errors.New("the index file was not made again")
	}
	return nil
}

// flipOpen flips a bit of a segment of a store that is open, and uses it. That what was checked in an index file is still right later it believes.
func (f *flipped) flipOpen(ctx context.Context, random *rand.Rand, bit flip) (err error) {
	if isIndex(bit) {
		return nil
	}
	mem := f.original.Clone()
	s, err := diskstore.Open(dir, small(mem))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	mem.Flip(bit.path, bit.offset, bit.mask)
	return f.use(ctx, s, random, bit)
}

func isIndex(bit flip) bool { return filepath.Ext(bit.path) == ".index" }

// isNamed returns nil if err is that of a damage which names the file that has it.
func isNamed(err error, bit flip) error {
	var corrupt *diskstore.CorruptError
	switch {
	case isIndex(bit):
		return fmt.Errorf("an index file is damaged, and: %w", err)
	case !errors.Is(err, dcb.ErrCorrupt) || !errors.As(err, &corrupt):
		return fmt.Errorf("%w; want dcb.ErrCorrupt", err)
	case corrupt.File != bit.path || corrupt.Offset > bit.offset+frame.HeaderBytes || corrupt.Position == 0 || !strings.Contains(err.Error(), bit.path):
		return fmt.Errorf("%w; want it to name the file, an offset of what is damaged, and a position (%d, %d)", err, corrupt.Offset, corrupt.Position)
	}
	return nil
}

// use asks the store all sorts of things. Each answer must be right, or an error that names the damage.
func (f *flipped) use(ctx context.Context, s *diskstore.Store, random *rand.Rand, bit flip) error {
	queries := []dcb.Query{dcb.All(), {{Types: []string{"A"}}}, {{Types: []string{"B"}}}, {{Types: []string{"C", "D"}}}, {{Tags: []string{"nobody"}}}}
	for range 6 {
		e := f.log[random.IntN(len(f.log))]
		for _, tag := range e.Tags {
			queries = append(queries, dcb.Query{{Tags: []string{tag}}})
		}
	}
	for _, q := range queries {
		opts := dcb.ReadOptions{Backwards: random.IntN(2) == 0}
		want, err := f.log.Read(q, opts)
		if err != nil {
			return err
		}
		got, err := s.Read(ctx, q, opts)
		if err != nil {
			if err := isNamed(err, bit); err != nil {
				return fmt.Errorf("read %+v: %w", q, err)
			}
			continue
		}
		if err := sameEvents(got.Events, want.Events); err != nil {
			return fmt.Errorf("read %+v, %+v: the answer is wrong: %w", q, opts, err)
		}
	}
	for range 4 {
		if err := f.append(ctx, s, random, bit); err != nil {
			return err
		}
	}
	return nil
}

// append makes appends of which it knows how they must end.
func (f *flipped) append(ctx context.Context, s *diskstore.Store, random *rand.Rand, bit flip) error {
	e := f.log[random.IntN(len(f.log))]
	_, err := s.Append(ctx, []dcb.Event{{Type: "New"}}, &dcb.AppendCondition{
		FailIfEventsMatch: dcb.Query{{Types: []string{e.Type}, Tags: e.Tags}}, After: e.Position - 1,
	})
	if err == nil {
		return fmt.Errorf("an append was recorded although position %d matches its condition", e.Position)
	}
	if !errors.Is(err, dcb.ErrConflict) {
		if err := isNamed(err, bit); err != nil {
			return fmt.Errorf("append: %w", err)
		}
	}
	again := f.known.pick(random)
	if !again.repeatable() || again.acked == 0 {
		return nil
	}
	last, err := s.Append(ctx, again.events, again.condition)
	if err == nil && last != again.acked {
		return fmt.Errorf("what is recorded at position %d was sent again, and is at %d", again.acked, last)
	}
	if err != nil {
		if err := isNamed(err, bit); err != nil {
			return fmt.Errorf("append again: %w", err)
		}
	}
	return nil
}
