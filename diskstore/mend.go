package diskstore

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/term"
	"github.com/dcbstore/dcb/internal/vfs"
)

func openIndex(files vfs.FS, path string) (*indexFile, error) {
	index, err := indexfile.Open(files, path)
	if err != nil {
		return nil, err
	}
	return &indexFile{Index: index, path: path}, nil
}

// mend makes the index of a file that was found damaged again, from the log.
func (s *Store) mend(ctx context.Context, d *damagedIndex) error {
	defer s.maintain() // what was not begun meanwhile
	done := s.sealer.beforeMerges()
	defer done()
	s.sealer.maintaining.Lock()
	defer s.sealer.maintaining.Unlock()
	return s.mendHeld(ctx, d)
}

func (s *Store) mendHeld(ctx context.Context, d *damagedIndex) error {
	v, err := s.hold()
	if err != nil {
		return err
	}
	defer v.release()
	damaged := d.file.part()
	if p := v.partOf(damaged.first); p.file != d.file {
		return nil // somebody else has mended it
	}
	s.opts.Log.Warn("an index file is damaged, and is made again", "file", d.file.path, "cause", d.error)
	s.count.rebuilds.Add(1)
	var files []*indexFile
	var covered []*segment
	for _, g := range v.segments {
		if g.first >= damaged.first && g.first <= damaged.last {
			covered = append(covered, g)
		}
	}
	progress := newProgress(s.opts.Log, "making an index again from the log", len(covered))
	for i, g := range covered {
		err := ctx.Err()
		var file *indexFile
		if err == nil {
			file, err = s.remake(g)
		}
		if err != nil {
			for _, made := range files {
				_ = made.Close()
			}
			switch {
			case s.sealer.ending.Err() != nil:
				return dcb.ErrClosed
			case errors.Is(err, dcb.ErrCorrupt):
				return err
			}
			return unavailable(false, "%w", err)
		}
		files = append(files, file)
		progress.tell(i + 1)
	}
	progress.end(len(covered))
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		for _, made := range files {
			_ = made.Close()
		}
		return dcb.ErrClosed
	}
	s.replace(files...)
	s.mu.Unlock()
	if len(covered) > 1 {
		_ = s.fs.Remove(d.file.path) // it is removed at the next opening otherwise
	}
	s.maintain()
	return nil
}

// remake makes the index file of a sealed segment from the log.
func (s *Store) remake(g *segment) (file *indexFile, err error) {
	err = guarded(func() error {
		header, err := readHeader(s.fs, g.path)
		if err != nil {
			return &CorruptError{File: g.path, Position: g.first, Problem: err, Advice: restore}
		}
		index, err := s.indexOf(g, header, g.end)
		if err != nil {
			return err
		}
		file, err = s.writeIndex(s.sealer.ending, []*segment{g}, index)
		return err
	})
	return file, err
}

// mendAny mends those files of parts that are damaged, and returns how many. The caller holds maintaining.
func (s *Store) mendAny(parts []part) (mended int, err error) {
	for _, p := range parts {
		broken := guarded(func() error { return p.file.Verify(s.sealer.ending) })
		if !errors.Is(broken, indexfile.ErrBroken) && !errors.Is(broken, dcb.ErrCorrupt) {
			continue
		}
		if err := s.mendHeld(s.sealer.ending, &damagedIndex{p.file, broken}); err != nil {
			return mended, err
		}
		mended++
	}
	return mended, nil
}

// progress tells how far something got that takes long.
type progress struct {
	log   *slog.Logger
	what  string
	of    int
	began time.Time
	told  time.Time
}

const tellEvery = 2 * time.Second

func newProgress(log *slog.Logger, what string, of int) *progress {
	now := time.Now()
	return &progress{log: log, what: what, of: of, began: now, told: now}
}

func (p *progress) tell(done int) {
	if now := time.Now(); now.Sub(p.told) >= tellEvery {
		p.told = now
		p.log.Info(p.what, "segments", done, "of", p.of, "seconds", int(now.Sub(p.began).Seconds()))
	}
}

func (p *progress) end(done int) {
	if done > 0 {
		p.log.Info("indexes were made again from the log", "segments", done, "seconds", time.Since(p.began).Seconds())
	}
}

func idKey(id uuid.UUID) term.Key {
	if id == uuid.Nil {
		return 0
	}
	return term.OfID(id)
}
