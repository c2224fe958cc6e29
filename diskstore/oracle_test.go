package diskstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/internal/model"
	"github.com/dcbstore/dcb/internal/vfs"
)

// attempt is an append that a test sends, once or again and again with the same events. The data of its events begin with their name.
type attempt struct {
	events    []dcb.Event
	condition *dcb.AppendCondition

	sends int          // how often it was sent
	open  int          // of those, the ones that are under way and the ones whose outcome stayed unknown
	acked dcb.Position // what a send was answered with, or 0
}

// repeatable reports whether the attempt may be sent again whatever became of it.
func (a *attempt) repeatable() bool {
	return !slices.ContainsFunc(a.events, func(e dcb.Event) bool { return e.ID == uuid.Nil })
}

// oracle knows what was sent to a store and what was answered, and so what the store must hold, must not hold, and may hold.
type oracle struct {
	mu       sync.Mutex // guards all below
	attempts []*attempt
	seen     []string // what readers were shown: the name of the event at position 1, 2 …
	lossy    bool     // the last of what was answered may be missing: a crash without syncs
}

// name names event i of attempt n. It is unique, and the event's data begin with it.
func name(n, i int) string { return fmt.Sprintf("%d/%d;", n, i) }

// nameOf returns the name that data begin with, and what it names.
func nameOf(e *dcb.SequencedEvent) (name string, n, i int, err error) {
	name, _, ok := strings.Cut(string(e.Data[:min(len(e.Data), 24)]), ";")
	if _, err := fmt.Sscanf(name, "%d/%d", &n, &i); !ok || err != nil {
		return "", 0, 0, fmt.Errorf("the event at position %d was never sent: its data are %.40q", e.Position, e.Data)
	}
	return name, n, i, nil
}

// add adds an attempt of events, whose data it completes with their names.
func (o *oracle) add(events []dcb.Event, condition *dcb.AppendCondition) *attempt {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range events {
		events[i].Data = append([]byte(name(len(o.attempts), i)), events[i].Data...)
	}
	a := &attempt{events: events, condition: condition}
	o.attempts = append(o.attempts, a)
	return a
}

// pick returns one of the attempts at random, or nil if there is none.
func (o *oracle) pick(random *rand.Rand) *attempt {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.attempts) == 0 {
		return nil
	}
	return o.attempts[random.IntN(len(o.attempts))]
}

// send sends an attempt. The first error is the store's own; the second is what the store did wrong.
func (o *oracle) send(ctx context.Context, s *diskstore.Store, a *attempt) (refused, wrong error) {
	o.mu.Lock()
	a.sends++
	a.open++
	o.mu.Unlock()
	last, err := s.Append(ctx, a.events, a.condition)
	o.mu.Lock()
	defer o.mu.Unlock()
	var unavailable *dcb.UnavailableError
	var conflict *dcb.ConflictError
	switch {
	case err == nil:
		if a.acked != 0 && a.acked != last {
			return nil, fmt.Errorf("an append was answered with position %d, and when sent again with %d", a.acked, last)
		}
		a.acked = last
		a.open--
		return nil, nil
	case errors.As(err, &unavailable):
		if !unavailable.OutcomeUnknown {
			a.open--
		}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case errors.As(err, &conflict):
		a.open--
		if a.condition == nil || conflict.Position <= a.condition.After {
			return nil, fmt.Errorf("a conflict with position %d where the condition is %+v", conflict.Position, a.condition)
		}
	case errors.Is(err, dcb.ErrDuplicateID), errors.Is(err, dcb.ErrClosed):
		a.open--
	default:
		return nil, fmt.Errorf("append: %w", err)
	}
	return err, nil
}

// observe reads what was not seen yet. From then on it must be there.
func (o *oracle) observe(ctx context.Context, s *diskstore.Store) (refused, wrong error) {
	o.mu.Lock()
	from := len(o.seen)
	o.mu.Unlock()
	result, err := s.Read(ctx, dcb.All(), dcb.ReadOptions{After: dcb.Position(from)})
	if errors.Is(err, dcb.ErrClosed) {
		return err, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range result.Events {
		name, _, _, err := nameOf(&result.Events[i])
		if err != nil {
			return nil, err
		}
		at := from + i
		if at < len(o.seen) && o.seen[at] != name {
			return nil, fmt.Errorf("position %d was %s, and is now %s", at+1, o.seen[at], name)
		}
		if at == len(o.seen) {
			o.seen = append(o.seen, name)
		}
	}
	return nil, nil
}

// snapshot returns a copy, which goes its own way.
func (o *oracle) snapshot() *oracle {
	o.mu.Lock()
	defer o.mu.Unlock()
	twin := &oracle{attempts: make([]*attempt, len(o.attempts)), seen: slices.Clone(o.seen), lossy: o.lossy}
	for i, a := range o.attempts {
		b := *a
		twin.attempts[i] = &b
	}
	return twin
}

// around returns what is known of a moment between two snapshots: what the earlier one knows, and of what was sent meanwhile nothing.
func around(before, after *oracle) *oracle {
	for i, a := range after.attempts {
		switch {
		case i >= len(before.attempts):
			before.attempts = append(before.attempts, &attempt{events: a.events, condition: a.condition, sends: a.sends, open: 1})
		case a.sends > before.attempts[i].sends:
			before.attempts[i].open++
		}
	}
	return before
}

// check compares an open store with what it must hold, and with itself. What it holds is settled from then on. The error is what the store did wrong.
func (o *oracle) check(ctx context.Context, files vfs.FS, s *diskstore.Store, random *rand.Rand) error {
	all, err := s.Read(ctx, dcb.All(), dcb.ReadOptions{})
	if err != nil {
		return fmt.Errorf("read everything: %w", err)
	}
	log := model.Log(all.Events)
	head, err := s.Head(ctx)
	if err != nil || head != log.Head() || all.Head != head {
		return fmt.Errorf("the head is %d, %w; and %d events were read up to %d", head, err, len(log), all.Head)
	}
	scanned, err := scan(files, dir)
	if err != nil {
		return err
	}
	if err := sameEvents(log, scanned); err != nil {
		return fmt.Errorf("a read of everything and a scan of the files: %w", err)
	}
	if err := o.compare(log); err != nil {
		return err
	}
	return checkQueries(ctx, s, log, random)
}

// compare compares what a store holds with what it must hold.
func (o *oracle) compare(log model.Log) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := make(map[int]dcb.Position) // of an attempt, its last position
	ids := make(map[uuid.UUID]dcb.Position)
	for at := 0; at < len(log); {
		_, n, i, err := nameOf(&log[at])
		if err != nil {
			return err
		}
		if i != 0 || n >= len(o.attempts) || found[n] != 0 {
			return fmt.Errorf("event %d of append %d is at position %d, where it cannot be", i, n, at+1)
		}
		a := o.attempts[n]
		if err := a.isAt(log, at); err != nil {
			return fmt.Errorf("append %d: %w", n, err)
		}
		at += len(a.events)
		found[n] = dcb.Position(at)
	}
	for i := range log {
		e := &log[i]
		if e.Position != dcb.Position(i+1) || i > 0 && e.RecordedAt.Before(log[i-1].RecordedAt) {
			return fmt.Errorf("at place %d is position %d, recorded at %v", i+1, e.Position, e.RecordedAt)
		}
		if e.ID != uuid.Nil && ids[e.ID] != 0 {
			return fmt.Errorf("positions %d and %d have the same ID", ids[e.ID], e.Position)
		}
		ids[e.ID] = e.Position
	}
	if err := o.mustHold(log, found); err != nil {
		return err
	}
	for n, a := range o.attempts {
		a.acked, a.open = found[n], 0
	}
	o.lossy = false
	return nil
}

// mustHold compares what was found with what was answered and seen.
func (o *oracle) mustHold(log model.Log, found map[int]dcb.Position) error {
	for n, a := range o.attempts {
		switch {
		case a.acked != 0 && found[n] == 0 && o.lossy && a.acked > log.Head():
		case a.acked != 0 && found[n] != a.acked:
			return fmt.Errorf("append %d was answered with position %d, and is at %d (0: nowhere); the head is %d", n, a.acked, found[n], log.Head())
		case a.acked == 0 && a.open == 0 && found[n] != 0:
			return fmt.Errorf("append %d failed, and is recorded at position %d", n, found[n])
		}
	}
	for i, name := range o.seen {
		if i >= len(log) {
			if o.lossy {
				break
			}
			return fmt.Errorf("position %d was read, and is gone; the head is %d", i+1, log.Head())
		}
		if now, _, _, err := nameOf(&log[i]); err != nil || now != name {
			return fmt.Errorf("position %d was %s when it was read, and is %s, %w", i+1, name, now, err)
		}
	}
	o.seen = o.seen[:min(len(o.seen), len(log))]
	return nil
}

// isAt returns what is wrong if the attempt, whole, is not what the log has from a place on, or its condition did not hold there.
func (a *attempt) isAt(log model.Log, at int) error {
	if at+len(a.events) > len(log) {
		return fmt.Errorf("only %d of its %d events are there", len(log)-at, len(a.events))
	}
	for i := range a.events {
		if !log[at+i].Same(a.events[i]) {
			return fmt.Errorf("its event %d is not at position %d, or is another one there", i, at+i+1)
		}
	}
	if a.condition == nil {
		return nil
	}
	for _, e := range log[:at] {
		if e.Position > a.condition.After && a.condition.FailIfEventsMatch.Matches(e.Event) {
			return fmt.Errorf("it is recorded from position %d on, although position %d matches its condition %+v", at+1, e.Position, *a.condition)
		}
	}
	return nil
}

// sameEvents returns how two sequences differ, or nil.
func sameEvents(a, b []dcb.SequencedEvent) error {
	for i := range min(len(a), len(b)) {
		x, y := &a[i], &b[i]
		if x.Position != y.Position || !x.RecordedAt.Equal(y.RecordedAt) || !x.Same(y.Event) || !slices.Equal(x.Tags, y.Tags) {
			return fmt.Errorf("number %d is position %d (%.30q) here, and position %d (%.30q) there", i, x.Position, x.Data, y.Position, y.Data)
		}
	}
	if len(a) != len(b) {
		return fmt.Errorf("here are %d events, and there %d", len(a), len(b))
	}
	return nil
}

// scan reads the events of a log from its files, without any index, and leaves out what a crash has left unfinished.
func scan(files vfs.FS, dir string) ([]dcb.SequencedEvent, error) {
	infos, err := files.List(dir)
	if err != nil {
		return nil, err
	}
	var logs [][]byte
	var headers []frame.Segment
	for _, info := range infos {
		if filepath.Ext(info.Name) != ".log" {
			continue
		}
		b, err := readFile(files, filepath.Join(dir, info.Name))
		if err != nil {
			return nil, err
		}
		header, err := frame.ReadSegment(b)
		if err != nil && len(logs) > 0 {
			break // never written to
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", info.Name, err)
		}
		logs, headers = append(logs, b), append(headers, header)
	}
	var events []dcb.SequencedEvent
	for i, b := range logs {
		end := len(b)
		if i+1 < len(logs) {
			end = int(headers[i+1].End)
		}
		for at := frame.SegmentBytes; at < end; {
			h, err := frame.Read(headers[i].Salt(), b[at:end])
			if err != nil && i+1 < len(logs) {
				return nil, fmt.Errorf("a frame at offset %d of %d in the segment from position %d on: %w", at, end, headers[i].First, err)
			}
			if err != nil {
				break
			}
			err = frame.Check(headers[i].Salt(), b[at:], h, func(_ uint32, e *dcb.SequencedEvent) error {
				events = append(events, e.Clone())
				events[len(events)-1].Type = strings.Clone(e.Type)
				return nil
			})
			if err != nil {
				return nil, err
			}
			at += int(h.Bytes)
		}
	}
	return events, nil
}

func readFile(files vfs.FS, path string) ([]byte, error) {
	file, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = io.Copy(&b, io.NewSectionReader(file, 0, size))
	return b.Bytes(), err
}
