package diskstore

import (
	"errors"
	"fmt"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// compareIndexes compares the index files that cover a segment with an index built from its log
// records.
func (v *verifier) compareIndexes(first dcb.Position, state segmentState, index *tail.Index, isLast bool) error {
	indexed := false
	for _, x := range v.indexes {
		meta := x.Meta()
		if first < meta.First || first >= meta.First+dcb.Position(meta.Count) {
			continue
		}
		indexed = true
		if x.failed {
			continue
		}
		x.covered += index.Added()
		x.sum = logfile.ExtendSum(x.sum, state.sum)
		err := x.compare(index, uint32(first-meta.First))
		switch {
		case errors.Is(err, errDiffers):
			x.failed = true
			v.addProblem(fmt.Errorf("diskstore: index file %s: %w; %s", x.path, err, adviceRemoveIndex))
		case errors.Is(err, indexfile.ErrBroken):
			x.failed = true // openIndexes reported it
		case err != nil:
			return err
		}
	}
	if !indexed && !isLast {
		v.report.Unindexed++
	}
	return nil
}

var errDiffers = errors.New("it differs from the log")

const adviceRemoveIndex = "remove it; the store rebuilds it at the next opening"

// compare compares as many events of the file as index has, from ordinal base on, with index.
func (x *checkedIndex) compare(index *tail.Index, base uint32) error {
	if uint64(base)+uint64(index.Added()) > uint64(x.Count()) {
		return fmt.Errorf("%w: it has %d events, want at least %d", errDiffers, x.Count(), uint64(base)+uint64(index.Added()))
	}
	for ordinal := range index.Added() {
		offset, typeID, err := x.Event(base + ordinal)
		if err != nil {
			return err
		}
		key, err := x.TypeKey(typeID)
		if err != nil {
			return err
		}
		wantOffset, wantType, _ := index.Event(ordinal)
		if wantKey, _ := index.TypeKey(wantType); offset != wantOffset || key != wantKey {
			return fmt.Errorf("%w at position %d", errDiffers, x.Meta().First+dcb.Position(base+ordinal))
		}
	}
	for kind := range term.Kinds {
		terms := make([]indexfile.Term, index.TermCount(term.Kind(kind)))
		if err := index.ReadTerms(term.Kind(kind), 0, terms); err != nil {
			return err
		}
		for _, t := range terms {
			list, err := x.List(t.Key)
			if err != nil {
				return err
			}
			if err := comparePostings(list, t.List, base, index.Added()); err != nil {
				return err
			}
			x.postings += uint64(t.List.Len())
		}
	}
	return nil
}

// comparePostings compares a list of the index file, from ordinal base on, with a list of the
// log. Both cover count events.
func comparePostings(of, log postings.List, base, count uint32) error {
	var got, want postings.Cursor
	got.Reset(of, base, base+count-1, false)
	want.Reset(log, 0, count-1, false)
	for {
		a, ok := got.Current()
		if err := got.Err(); err != nil {
			return err
		}
		b, more := want.Current()
		if ok != more || ok && a != base+b {
			return fmt.Errorf("%w: the events with a tag, a type or an ID differ", errDiffers)
		}
		if !ok {
			return nil
		}
		got.Next()
		want.Next()
	}
}

// finishIndex checks that an index file has no entry that the log does not have. The log ends
// before position next.
func (v *verifier) finishIndex(x *checkedIndex, next dcb.Position) {
	meta := x.Meta()
	if x.failed {
		return
	}
	differs := func(format string, args ...any) {
		v.addProblem(fmt.Errorf("diskstore: index file %s: %w: %s; %s", x.path, errDiffers, fmt.Sprintf(format, args...), adviceRemoveIndex))
	}
	if meta.First+dcb.Position(meta.Count) > next {
		differs("it reaches beyond the end of the log, position %d", next-1)
		return
	}
	if x.covered != meta.Count || x.sum != meta.Sum {
		if len(v.report.Problems) == 0 { // otherwise the log is damaged
			differs("it belongs to another log")
		}
		return
	}
	total := uint64(0)
	for kind := range term.Kinds {
		terms := make([]indexfile.Term, min(x.TermCount(term.Kind(kind)), 1024))
		for rank := 0; rank < x.TermCount(term.Kind(kind)); rank += len(terms) {
			terms = terms[:min(len(terms), x.TermCount(term.Kind(kind))-rank)]
			if err := x.ReadTerms(term.Kind(kind), rank, terms); err != nil {
				return // Index.Verify has reported it
			}
			for _, t := range terms {
				total += uint64(t.List.Len())
			}
		}
	}
	if total != x.postings {
		differs("it has %d entries, want %d", total, x.postings)
	}
}
