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
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/internal/model"
	"github.com/dcbstore/dcb/internal/vfs"
)

// attempt is an append that a test sends once or several times. The data of each event begins
// with its name.
type attempt struct {
	events    []dcb.Event
	condition *dcb.AppendCondition

	sends      int          // number of sends
	unresolved int          // sends that are under way or whose outcome is unknown
	acked      dcb.Position // the position that a send returned, or 0
}

// repeatable reports whether the attempt may be sent again after any outcome: all events have an
// ID.
func (a *attempt) repeatable() bool {
	return !slices.ContainsFunc(a.events, func(e dcb.Event) bool { return e.ID == uuid.Nil })
}

// oracle records what was sent to a store and what it returned. From that follows what the store
// must contain, may contain and must not contain.
type oracle struct {
	mu       sync.Mutex // guards all fields
	attempts []*attempt
	seen     []string // what readers saw: the names of the events from position 1 on
	lossy    bool     // acknowledged appends at the end may be missing: a crash without syncs
}

// eventName returns the name of event i of attempt n. It is unique, and the data of the event
// begins with it.
func eventName(n, i int) string { return fmt.Sprintf("%d/%d;", n, i) }

// parseName returns the name in the data of e, with the attempt and the event that it names.
func parseName(e *dcb.SequencedEvent) (name string, n, i int, err error) {
	name, _, ok := strings.Cut(string(e.Data[:min(len(e.Data), 24)]), ";")
	if _, err := fmt.Sscanf(name, "%d/%d", &n, &i); !ok || err != nil {
		return "", 0, 0, fmt.Errorf("the event at position %d was never sent: its data is %.40q", e.Position, e.Data)
	}
	return name, n, i, nil
}

// add adds an attempt. It prepends the names to the data of events.
func (o *oracle) add(events []dcb.Event, condition *dcb.AppendCondition) *attempt {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range events {
		events[i].Data = append([]byte(eventName(len(o.attempts), i)), events[i].Data...)
	}
	a := &attempt{events: events, condition: condition}
	o.attempts = append(o.attempts, a)
	return a
}

// pick returns a random attempt, or nil if there is none.
func (o *oracle) pick(random *rand.Rand) *attempt {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.attempts) == 0 {
		return nil
	}
	return o.attempts[random.IntN(len(o.attempts))]
}

// send sends an attempt. refused is an error that the store may return; wrong reports a wrong
// result.
func (o *oracle) send(ctx context.Context, s *diskstore.Store, a *attempt) (refused, wrong error) {
	o.mu.Lock()
	a.sends++
	a.unresolved++
	o.mu.Unlock()
	last, err := s.Append(ctx, a.events, a.condition)
	o.mu.Lock()
	defer o.mu.Unlock()
	unavailable, isUnavailable := errors.AsType[*dcb.UnavailableError](err)
	conflict, isConflict := errors.AsType[*dcb.ConflictError](err)
	switch {
	case err == nil:
		if a.acked != 0 && a.acked != last {
			return nil, fmt.Errorf("Append returned position %d, and %d for the same append again", a.acked, last)
		}
		a.acked = last
		a.unresolved--
		return nil, nil
	case isUnavailable:
		if !unavailable.OutcomeUnknown {
			a.unresolved--
		}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case isConflict:
		a.unresolved--
		if a.condition == nil || conflict.Position <= a.condition.After {
			return nil, fmt.Errorf("Append(…, %+v) conflicts with position %d", a.condition, conflict.Position)
		}
	case errors.Is(err, dcb.ErrDuplicateID), errors.Is(err, dcb.ErrClosed):
		a.unresolved--
	default:
		return nil, fmt.Errorf("append: %w", err)
	}
	return err, nil
}

// observe reads the events that were not seen yet. The store must contain them from then on.
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
		name, _, _, err := parseName(&result.Events[i])
		if err != nil {
			return nil, err
		}
		at := from + i
		if at < len(o.seen) && o.seen[at] != name {
			return nil, fmt.Errorf("position %d is %s, was %s", at+1, name, o.seen[at])
		}
		if at == len(o.seen) {
			o.seen = append(o.seen, name)
		}
	}
	return nil, nil
}

// snapshot returns an independent copy.
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

// between returns what is known of a time between two snapshots: what before knows, plus that
// each attempt sent since is either recorded or not.
func between(before, after *oracle) *oracle {
	for i, a := range after.attempts {
		switch {
		case i >= len(before.attempts):
			before.attempts = append(before.attempts, &attempt{events: a.events, condition: a.condition, sends: a.sends, unresolved: 1})
		case a.sends > before.attempts[i].sends:
			before.attempts[i].unresolved++
		}
	}
	return before
}

// check compares an open store with what it must contain, and its reads with its files. Unknown
// outcomes are resolved by it. The error reports a wrong result.
func (o *oracle) check(ctx context.Context, files vfs.FS, s *diskstore.Store, random *rand.Rand) error {
	all, err := s.Read(ctx, dcb.All(), dcb.ReadOptions{})
	if err != nil {
		return fmt.Errorf("read everything: %w", err)
	}
	log := model.Log(all.Events)
	head, err := s.Head(ctx)
	if err != nil || head != log.Head() || all.Head != head {
		return fmt.Errorf("Head() = %d, %w; Read returned %d events up to %d", head, err, len(log), all.Head)
	}
	scanned, err := scanLog(files, dir)
	if err != nil {
		return err
	}
	if err := diffEvents(log, scanned); err != nil {
		return fmt.Errorf("Read(All) differs from a scan of the files: %w", err)
	}
	if err := o.compare(log); err != nil {
		return err
	}
	return checkQueries(ctx, s, log, random)
}

// compare compares log with what the store must contain.
func (o *oracle) compare(log model.Log) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := make(map[int]dcb.Position) // of an attempt, its last position
	ids := make(map[uuid.UUID]dcb.Position)
	for at := 0; at < len(log); {
		_, n, i, err := parseName(&log[at])
		if err != nil {
			return err
		}
		if i != 0 || n >= len(o.attempts) || found[n] != 0 {
			return fmt.Errorf("position %d is event %d of append %d, which cannot be there", at+1, i, n)
		}
		a := o.attempts[n]
		if err := a.checkAt(log, at); err != nil {
			return fmt.Errorf("append %d: %w", n, err)
		}
		at += len(a.events)
		found[n] = dcb.Position(at)
	}
	for i := range log {
		e := &log[i]
		if e.Position != dcb.Position(i+1) || i > 0 && e.RecordedAt.Before(log[i-1].RecordedAt) {
			return fmt.Errorf("event %d of the log has position %d, recorded at %v", i+1, e.Position, e.RecordedAt)
		}
		if e.ID != uuid.Nil && ids[e.ID] != 0 {
			return fmt.Errorf("positions %d and %d have the same ID", ids[e.ID], e.Position)
		}
		ids[e.ID] = e.Position
	}
	if err := o.checkAcknowledged(log, found); err != nil {
		return err
	}
	for n, a := range o.attempts {
		a.acked, a.unresolved = found[n], 0
	}
	o.lossy = false
	return nil
}

// checkAcknowledged compares the positions found of each attempt with what was acknowledged and
// seen.
func (o *oracle) checkAcknowledged(log model.Log, found map[int]dcb.Position) error {
	for n, a := range o.attempts {
		switch {
		case a.acked != 0 && found[n] == 0 && o.lossy && a.acked > log.Head():
		case a.acked != 0 && found[n] != a.acked:
			return fmt.Errorf("append %d was acknowledged at position %d, found at %d (0 means missing); the head is %d",
				n, a.acked, found[n], log.Head())
		case a.acked == 0 && a.unresolved == 0 && found[n] != 0:
			return fmt.Errorf("append %d failed, but is recorded at position %d", n, found[n])
		}
	}
	for i, name := range o.seen {
		if i >= len(log) {
			if o.lossy {
				break
			}
			return fmt.Errorf("position %d was read before and is missing; the head is %d", i+1, log.Head())
		}
		if now, _, _, err := parseName(&log[i]); err != nil || now != name {
			return fmt.Errorf("position %d is %s (%w), was read as %s", i+1, now, err, name)
		}
	}
	o.seen = o.seen[:min(len(o.seen), len(log))]
	return nil
}

// checkAt returns an error unless log contains the whole attempt from index at on, and its
// condition held there.
func (a *attempt) checkAt(log model.Log, at int) error {
	if at+len(a.events) > len(log) {
		return fmt.Errorf("only %d of its %d events are there", len(log)-at, len(a.events))
	}
	for i := range a.events {
		if !log[at+i].Same(a.events[i]) {
			return fmt.Errorf("position %d differs from its event %d", at+i+1, i)
		}
	}
	if a.condition == nil {
		return nil
	}
	for _, e := range log[:at] {
		if e.Position > a.condition.After && a.condition.FailIfEventsMatch.Matches(e.Event) {
			return fmt.Errorf("it is recorded from position %d on, but position %d matches its condition %+v", at+1, e.Position, *a.condition)
		}
	}
	return nil
}

// diffEvents returns an error that describes the first difference, or nil.
func diffEvents(got, want []dcb.SequencedEvent) error {
	for i := range min(len(got), len(want)) {
		x, y := &got[i], &want[i]
		if x.Position != y.Position || !x.RecordedAt.Equal(y.RecordedAt) || !x.Same(y.Event) || !slices.Equal(x.Tags, y.Tags) {
			return fmt.Errorf("event %d is position %d (%.30q), want position %d (%.30q)", i, x.Position, x.Data, y.Position, y.Data)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d events, want %d", len(got), len(want))
	}
	return nil
}

// scanLog reads the events of a log from its files without any index, and ignores an unfinished
// append.
func scanLog(files vfs.FS, dir string) ([]dcb.SequencedEvent, error) {
	infos, err := files.List(dir)
	if err != nil {
		return nil, err
	}
	var logs [][]byte
	var headers []logfile.SegmentHeader
	for _, info := range infos {
		if filepath.Ext(info.Name) != ".log" {
			continue
		}
		b, err := readFile(files, filepath.Join(dir, info.Name))
		if err != nil {
			return nil, err
		}
		header, err := logfile.ReadSegmentHeader(b)
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
			end = int(headers[i+1].PrevEnd)
		}
		for at := logfile.SegmentHeaderBytes; at < end; {
			h, err := logfile.ReadRecordHeader(headers[i].Salt(), b[at:end])
			if err != nil && i+1 < len(logs) {
				return nil, fmt.Errorf("the log record at offset %d of %d in the segment from position %d on: %w", at, end, headers[i].First, err)
			}
			if err != nil {
				break
			}
			err = logfile.ReadEntries(headers[i].Salt(), b[at:], h, func(_ uint32, e *dcb.SequencedEvent) error {
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
