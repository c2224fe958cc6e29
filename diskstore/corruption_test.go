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
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/internal/model"
	"github.com/dcbstore/dcb/internal/vfs"
)

// flipsVariable, if set, is the number of bits to flip. Each byte of a header is always tested.
const flipsVariable = "DCB_FLIPS"

// flip is a bit to flip in a file.
type flip struct {
	path   string
	offset int64
	mask   byte
}

func (f flip) String() string {
	return fmt.Sprintf("%s, offset %d, bits %#02x", f.path, f.offset, f.mask)
}

// drawFlips draws a bit of each byte of the headers of all files, and of some other bytes.
func drawFlips(t *testing.T, mem *vfs.Mem, random *rand.Rand, most int) (flips []flip) {
	t.Helper()
	var others []flip
	for _, path := range listFiles(t, mem, "") {
		b := mem.ReadFile(path)
		first := 128 // of an index file
		if filepath.Ext(path) == ".log" {
			first = logfile.SegmentHeaderBytes + logfile.RecordHeaderBytes
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

// flipTest is a closed store, whose copies get a wrong bit, and its content.
type flipTest struct {
	original *vfs.Mem
	known    *oracle
	log      model.Log
	last     string // the active segment
	end      int64  // the offset of its clean-shutdown marker
}

func newFlipped(t *testing.T, seed uint64) *flipTest {
	t.Helper()
	f := &flipTest{}
	f.original, f.known = mergedStore(t, seed, 40)
	s := open(t, dir, smallSegments(f.original.Clone()))
	result, err := s.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.log = result.Events
	logs := listFiles(t, f.original, ".log")
	f.last = logs[len(logs)-1]
	f.end = int64(len(f.original.ReadFile(f.last))) - logfile.RecordHeaderBytes
	return f
}

func TestOpenAndReadDetectFlippedBit(t *testing.T) {
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
			bits := drawFlips(t, f.original, random, intFromEnv(t, flipsVariable, 3000))
			for _, bit := range bits {
				if err := try(t.Context(), random, bit); err != nil {
					t.Fatalf("%s=%d: %v: %v", history.SeedVariable, seed, bit, err)
				}
			}
			t.Logf("%d bits were flipped", len(bits))
		})
	}
}

// flipClosed flips a bit while the store is closed, and uses the store.
func (f *flipTest) flipClosed(ctx context.Context, random *rand.Rand, bit flip) (err error) {
	mem := f.original.Clone()
	mem.Flip(bit.path, bit.offset, bit.mask)
	s, err := diskstore.Open(dir, smallSegments(mem))
	if err != nil {
		return checkNamed(err, bit)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if bit.path == f.last && bit.offset < f.end {
		return errors.New("Open opened a store whose active segment is damaged")
	}
	if err := f.check(ctx, s, random, bit); err != nil || !isIndex(bit) {
		return err
	}
	if now := mem.ReadFile(bit.path); s.Metrics().Rebuilds == 0 && len(now) > int(bit.offset) && now[bit.offset] != f.original.ReadFile(bit.path)[bit.offset] {
		return errors.New("the damaged index file was not rebuilt")
	}
	return nil
}

// flipOpen flips a bit of a segment while the store is open, and uses the store. It skips index
// files: the store checks each page of them once.
func (f *flipTest) flipOpen(ctx context.Context, random *rand.Rand, bit flip) (err error) {
	if isIndex(bit) {
		return nil
	}
	mem := f.original.Clone()
	s, err := diskstore.Open(dir, smallSegments(mem))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	mem.Flip(bit.path, bit.offset, bit.mask)
	return f.check(ctx, s, random, bit)
}

func isIndex(bit flip) bool { return filepath.Ext(bit.path) == ".index" }

// checkNamed returns nil if err reports damage and names the damaged file.
func checkNamed(err error, bit flip) error {
	corrupt, ok := errors.AsType[*diskstore.CorruptError](err)
	switch {
	case isIndex(bit):
		return fmt.Errorf("a damaged index file caused an error: %w", err)
	case !errors.Is(err, dcb.ErrCorrupt) || !ok:
		return fmt.Errorf("%w; want dcb.ErrCorrupt", err)
	case corrupt.File != bit.path || corrupt.Offset > bit.offset+logfile.RecordHeaderBytes || corrupt.Position == 0 ||
		!strings.Contains(err.Error(), bit.path):
		return fmt.Errorf("%w (offset %d, position %d); want the file, the offset and a position", err, corrupt.Offset, corrupt.Position)
	}
	return nil
}

// check makes many calls. Each result must be right, or an error that names the damage.
func (f *flipTest) check(ctx context.Context, s *diskstore.Store, random *rand.Rand, bit flip) error {
	queries := []dcb.Query{dcb.All(), {{Types: []string{"A"}}}, {{Types: []string{"B"}}}, {{Types: []string{"C", "D"}}}, {{Tags: []string{"none"}}}}
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
			if err := checkNamed(err, bit); err != nil {
				return fmt.Errorf("Read(%+v): %w", q, err)
			}
			continue
		}
		if err := diffEvents(got.Events, want.Events); err != nil {
			return fmt.Errorf("Read(%+v, %+v) is wrong: %w", q, opts, err)
		}
	}
	for range 4 {
		if err := f.append(ctx, s, random, bit); err != nil {
			return err
		}
	}
	return nil
}

// append makes appends whose result is known.
func (f *flipTest) append(ctx context.Context, s *diskstore.Store, random *rand.Rand, bit flip) error {
	e := f.log[random.IntN(len(f.log))]
	_, err := s.Append(ctx, []dcb.Event{{Type: "New"}}, &dcb.AppendCondition{
		FailIfEventsMatch: dcb.Query{{Types: []string{e.Type}, Tags: e.Tags}}, After: e.Position - 1,
	})
	if err == nil {
		return fmt.Errorf("Append recorded events although position %d matches its condition", e.Position)
	}
	if !errors.Is(err, dcb.ErrConflict) {
		if err := checkNamed(err, bit); err != nil {
			return fmt.Errorf("append: %w", err)
		}
	}
	again := f.known.pick(random)
	if !again.repeatable() || again.acked == 0 {
		return nil
	}
	last, err := s.Append(ctx, again.events, again.condition)
	if err == nil && last != again.acked {
		return fmt.Errorf("Append of the events at position %d again = %d", again.acked, last)
	}
	if err != nil {
		if err := checkNamed(err, bit); err != nil {
			return fmt.Errorf("append again: %w", err)
		}
	}
	return nil
}
