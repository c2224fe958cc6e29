package pgstore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/dcbstore/dcb"
)

// The bounds of a batch of appends. An append that is larger by itself travels alone.
const (
	maxBatchAppends = 512
	maxBatchBytes   = 8 << 20
	maxBatchMatches = 8 << 20 // events times condition items: what pairs may have to compare
)

// The outcomes that the database functions append and append_one give.
const (
	recorded  = 1
	conflict  = 2
	duplicate = 3
)

// request is one append on its way: what the caller gave, in the form it is sent in, and what became of it.
type request struct {
	events   []dcb.Event // the caller's copied
	tags     []string    // of each event, as an array's text
	metadata []pgtype.Text
	ids      []uuid.UUID // those given, sorted
	query    dcb.Query   // the condition's, copied; empty if there is none
	after    dcb.Position
	items    items // query as it is sent
	bytes    int

	position dcb.Position
	err      error
}

// Append implements dcb.Store. Its cost is one round trip, shared with the other appends of this store that are waiting.
func (s *Store) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return 0, err
	}
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	r, err := newRequest(events, condition)
	if err != nil {
		return 0, fmt.Errorf("pgstore: append: %w", err)
	}
	started, err := s.group.Do(ctx, r)
	switch {
	case err != nil && started:
		return 0, fmt.Errorf("pgstore: append: %w (whether it was recorded is unknown)", err)
	case err != nil:
		return 0, err
	}
	return r.position, r.err
}

func newRequest(events []dcb.Event, condition *dcb.AppendCondition) (*request, error) {
	r := &request{
		items:    items{simple: true},
		events:   make([]dcb.Event, len(events)),
		tags:     make([]string, len(events)),
		metadata: make([]pgtype.Text, len(events)),
	}
	for i := range events {
		event := events[i].Clone()
		event.Tags = dcb.UniqueTags(event.Tags)
		r.events[i] = event
		r.tags[i] = arrayText(event.Tags)
		if len(event.Metadata) > 0 {
			encoded, err := json.Marshal(event.Metadata)
			if err != nil {
				return nil, err
			}
			r.metadata[i] = pgtype.Text{String: string(encoded), Valid: true}
		}
		if event.ID != uuid.Nil {
			r.ids = append(r.ids, event.ID)
		}
		r.bytes += len(event.ID) + len(event.Type) + len(event.Data) + len(r.tags[i]) + len(r.metadata[i].String)
	}
	slices.SortFunc(r.ids, compareIDs)
	if condition != nil {
		r.query = clone(condition.FailIfEventsMatch)
		r.after = condition.After
		r.items = encode(r.query)
		r.bytes += r.items.bytes()
	}
	return r, nil
}

// clone copies what the caller may change as soon as Append has returned, which may be before the batch is on its way.
func clone(q dcb.Query) dcb.Query {
	q = slices.Clone(q)
	for i := range q {
		q[i] = dcb.QueryItem{Types: slices.Clone(q[i].Types), Tags: slices.Clone(q[i].Tags)}
	}
	return q
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// fits keeps batches within bounds, and apart two appends that have an ID in common: the later of them is judged when the
// fate of the earlier is known.
func fits(batch []*request, next *request) bool {
	size, events, items := next.bytes, len(next.events), len(next.query)
	for _, r := range batch {
		size += r.bytes
		events += len(r.events)
		items += len(r.query)
	}
	if len(batch) == maxBatchAppends || size > maxBatchBytes || int64(events)*int64(items) > maxBatchMatches {
		return false
	}
	return !slices.ContainsFunc(batch, func(r *request) bool { return r.sharesID(next) })
}

func (r *request) sharesID(other *request) bool {
	return slices.ContainsFunc(r.ids, func(id uuid.UUID) bool {
		_, found := slices.BinarySearchFunc(other.ids, id, compareIDs)
		return found
	})
}

// commit has a batch decided and recorded in one round trip, and leaves each request's result with it.
func (s *Store) commit(ctx context.Context, batch []*request) {
	bounded, cancel := context.WithTimeout(ctx, s.options.CommitTimeout)
	defer cancel()
	if s.options.Index == Tags && len(batch) == 1 && batch[0].isPlain() {
		s.commitOne(ctx, bounded, batch[0])
		return
	}
	type answer struct {
		outcomes  []int32
		positions []int64
	}
	answered, err := try(bounded, &s.modes, func(ctx context.Context, mode pgx.QueryExecMode) (a answer, err error) {
		err = s.ask(ctx, s.appendSQL, append([]any{mode}, arguments(batch)...), &a.outcomes, &a.positions)
		return a, err
	})
	for i, r := range batch {
		if err != nil {
			r.err = s.failed(ctx, "append", err, appendSent)
			continue
		}
		s.settle(r, answered.outcomes[i], answered.positions[i])
	}
}

// isPlain reports whether r may be left to the database function append_one.
func (r *request) isPlain() bool {
	return len(r.events) == 1 && r.items.simple && len(r.items.tags) <= 4
}

// commitOne has a plain request decided.
func (s *Store) commitOne(ctx, bounded context.Context, r *request) {
	type answer struct {
		outcome  int32
		position int64
	}
	event := &r.events[0]
	answered, err := try(bounded, &s.modes, func(ctx context.Context, mode pgx.QueryExecMode) (a answer, err error) {
		err = s.ask(ctx, s.appendOneSQL, []any{
			mode, event.Type, orEmpty(event.Tags), orEmpty(event.Data), r.metadata[0],
			optional(event.ID), bigint(r.after), orEmpty(r.items.tags), orEmpty(r.items.types),
		}, &a.outcome, &a.position)
		return a, err
	})
	if err != nil {
		r.err = s.failed(ctx, "append", err, appendSent)
		return
	}
	s.settle(r, answered.outcome, answered.position)
}

// ask has a database function called. Its error says so if there was no connection to send it on.
func (s *Store) ask(ctx context.Context, sql string, arguments []any, answer ...any) error {
	conn, err := s.appends.Acquire(ctx)
	if err != nil {
		return &unsentError{err}
	}
	defer conn.Release()
	return conn.QueryRow(ctx, sql, arguments...).Scan(answer...)
}

// settle leaves with r what the database answered, and raises the head.
func (s *Store) settle(r *request, outcome int32, position int64) {
	r.settle(outcome, dcb.Position(position))
	if r.err == nil {
		s.watch.Raise(r.position)
	}
}

func (r *request) settle(outcome int32, position dcb.Position) {
	switch outcome {
	case recorded:
		r.position = position
	case conflict:
		r.err = &dcb.ConflictError{Position: position}
	case duplicate:
		r.err = fmt.Errorf("%w: an event of this append has the ID of the event at position %d, which is not this append's", dcb.ErrDuplicateID, position)
	default:
		panic(fmt.Sprintf("the database function append answered with outcome %d", outcome))
	}
}

// arguments are those of the database function append.
func arguments(batch []*request) []any {
	var (
		sizes, eventAppends     []int32
		types, tags             []string
		data                    [][]byte
		metadata                []pgtype.Text
		ids                     []pgtype.UUID
		withMetadata, withIDs   bool
		simple                  = true
		itemAppends             []int32
		itemAfters              []int64
		itemTags, itemTypes     []string
		pairAppends, pairWiths  []int32
		pairAfters, pairOffsets []int64
	)
	for i, r := range batch {
		number := int32(i + 1)
		sizes = append(sizes, int32(len(r.events)))
		for _, event := range r.events {
			eventAppends = append(eventAppends, number)
			types = append(types, event.Type)
			data = append(data, orEmpty(event.Data))
			ids = append(ids, optional(event.ID))
			withMetadata = withMetadata || len(event.Metadata) > 0
		}
		withIDs = withIDs || len(r.ids) > 0
		tags = append(tags, r.tags...)
		metadata = append(metadata, r.metadata...)
		for range r.items.tags {
			itemAppends = append(itemAppends, number)
			itemAfters = append(itemAfters, bigint(r.after))
		}
		simple = simple && r.items.simple
		itemTags = append(itemTags, r.items.tags...)
		itemTypes = append(itemTypes, r.items.types...)
	}
	if !withMetadata {
		metadata = nil
	}
	if !withIDs {
		ids = nil
	}
	for _, p := range pairs(batch) {
		pairAppends = append(pairAppends, int32(p.append+1))
		pairAfters = append(pairAfters, bigint(batch[p.append].after))
		pairWiths = append(pairWiths, int32(p.with+1))
		pairOffsets = append(pairOffsets, int64(p.offset+1))
	}
	return []any{
		sizes, eventAppends, types, tags, data, orEmpty(metadata), orEmpty(ids),
		simple, orEmpty(itemAppends), orEmpty(itemAfters), orEmpty(itemTags), orEmpty(itemTypes),
		orEmpty(pairAppends), orEmpty(pairAfters), orEmpty(pairWiths), orEmpty(pairOffsets),
	}
}

// orEmpty keeps an empty array from being sent as NULL.
func orEmpty[S ~[]E, E any](s S) S {
	if s == nil {
		return S{}
	}
	return s
}

func optional(id uuid.UUID) pgtype.UUID {
	return pgtype.UUID{Bytes: id, Valid: id != uuid.Nil}
}
