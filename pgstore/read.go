package pgstore

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/dcbstore/dcb"
)

// Read implements dcb.Store, in one round trip.
func (s *Store) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if err := dcb.ValidateRead(q, opts); err != nil {
		return dcb.ReadResult{}, err
	}
	if err := s.usable(ctx); err != nil {
		return dcb.ReadResult{}, err
	}
	result, err := s.read(ctx, q, opts)
	if err != nil {
		return dcb.ReadResult{}, s.failed(ctx, "read", err, onlyRead)
	}
	return result, nil
}

func (s *Store) read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	items := encode(q)
	before := int64(math.MaxInt64)
	if opts.Before > 0 {
		before = bigint(opts.Before)
	}
	// One event more than asked for tells whether the limit left any out.
	limit := pgtype.Int8{Int64: int64(opts.Limit) + 1, Valid: opts.Limit > 0 && opts.Limit < math.MaxInt64}
	events, err := try(ctx, &s.modes, func(ctx context.Context, mode pgx.QueryExecMode) ([]dcb.SequencedEvent, error) {
		rows, err := s.reads.Query(ctx, s.readSQL, mode, items.simple, items.tags, items.types, bigint(opts.After), before, limit, opts.Backwards)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, scan)
	})
	if err != nil {
		return dcb.ReadResult{}, err
	}
	result := dcb.ReadResult{Events: events[1:], Head: opts.Top(events[0].Position)}
	if opts.Limit > 0 && len(result.Events) > opts.Limit {
		result.Events, result.More = result.Events[:opts.Limit], true
		if !opts.Backwards {
			result.Head = result.Events[opts.Limit-1].Position
		}
	}
	return result, nil
}

// scan reads a row of the function read; in its first, all but the position is NULL.
func scan(row pgx.CollectableRow) (dcb.SequencedEvent, error) {
	var (
		event      dcb.SequencedEvent
		position   int64
		recordedAt pgtype.Timestamptz
		eventType  pgtype.Text
		metadata   []byte
		id         pgtype.UUID
	)
	if err := row.Scan(&position, &recordedAt, &eventType, &event.Tags, &event.Data, &metadata, &id); err != nil {
		return event, err
	}
	event.Position = dcb.Position(position)
	event.RecordedAt = recordedAt.Time.UTC()
	event.Type = eventType.String
	event.ID = id.Bytes
	if metadata != nil {
		if err := json.Unmarshal(metadata, &event.Metadata); err != nil {
			return event, fmt.Errorf("%w: metadata at position %d: %w", dcb.ErrCorrupt, position, err)
		}
	}
	return event, nil
}

// Head implements dcb.Store, in one round trip.
func (s *Store) Head(ctx context.Context) (dcb.Position, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	head, err := try(ctx, &s.modes, func(ctx context.Context, mode pgx.QueryExecMode) (head int64, err error) {
		err = s.reads.QueryRow(ctx, s.headSQL, mode).Scan(&head)
		return head, err
	})
	if err != nil {
		return 0, s.failed(ctx, "head", err, onlyRead)
	}
	return dcb.Position(head), nil
}

// Wait implements dcb.Store. It asks for the head once, and then sleeps until a notification or an append of this store tells of a
// higher one; every PollInterval one of those who wait asks again.
func (s *Store) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	for first := true; ; first = false {
		// What was heard of before and is not there any more was lost, with a failover or a restored backup: only what is
		// heard from now on counts.
		heard, err := s.watch.Load()
		if err != nil {
			return 0, err
		}
		if first || heard > after || s.takesTurn() {
			head, err := s.Head(ctx)
			if err != nil || head > after {
				return head, err
			}
			s.watch.Raise(head)
		}
		s.listening.Do(func() { go s.listen() })
		head, err := s.sleep(ctx, max(after, heard))
		if err == nil || ctx.Err() != nil || isClosed(err) {
			return head, err
		}
	}
}

// takesTurn reports whether it is the caller who polls: nobody did for PollInterval. What it finds wakes the others.
func (s *Store) takesTurn() bool {
	last, now := s.polled.Load(), time.Now().UnixNano()
	return now-last >= int64(s.options.PollInterval) && s.polled.CompareAndSwap(last, now)
}

func (s *Store) sleep(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	poll, cancel := context.WithTimeout(ctx, s.options.PollInterval)
	defer cancel()
	return s.watch.Wait(poll, after)
}

// listen raises the head with every notification, on a connection of its own, until the store is closed. While there is no such
// connection polling serves.
func (s *Store) listen() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer close(s.listened)
	go func() {
		<-s.closed
		cancel()
	}()
	for ctx.Err() == nil {
		s.listenOnce(ctx)
		select {
		case <-time.After(4 * s.options.PollInterval):
		case <-ctx.Done():
		}
	}
}

// notified is called with every notification that reaches any connection of the store.
func (s *Store) notified(_ *pgconn.PgConn, n *pgconn.Notification) {
	if head, err := strconv.ParseInt(n.Payload, 10, 64); err == nil && n.Channel == s.channel {
		s.watch.Raise(dcb.Position(head))
	}
}

// listenOnce returns when the connection breaks. Its errors are nobody's: polling has the same ones, and reports them.
func (s *Store) listenOnce(ctx context.Context) {
	conn, err := pgx.ConnectConfig(ctx, s.config.ConnConfig.Copy())
	if err != nil {
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+s.channel); err != nil {
		return
	}
	for ctx.Err() == nil {
		if err := conn.PgConn().WaitForNotification(ctx); err != nil {
			return
		}
	}
}
