package umadb

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dcbstore/dcb"
	pf "github.com/dcbstore/dcb/internal/protofield"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// Read implements [dcb.Store].
func (c *Client) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	var result dcb.ReadResult
	head, more, err := c.scan(ctx, q, opts, func(e *dcb.SequencedEvent) bool {
		result.Events = append(result.Events, *e)
		return true
	})
	if err != nil {
		return dcb.ReadResult{}, err
	}
	result.Head, result.More = head, more
	return result, nil
}

// Stream implements [dcb.Streamer]. The events of one call arrive as fast as the consumer takes
// them.
func (c *Client) Stream(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		_, _, err := c.scan(ctx, q, opts, func(e *dcb.SequencedEvent) bool { return yield(*e, nil) })
		if err != nil {
			yield(dcb.SequencedEvent{}, err)
		}
	}
}

// scan is a read that takes several calls if connections are lost.
type scan struct {
	query *umadbv1.Query
	opts  dcb.ReadOptions
	found func(e *dcb.SequencedEvent) bool // called with each event; false stops the scan

	begun bool         // the first message has arrived, with the head
	head  dcb.Position // valid if begun
	last  dcb.Position // of the last event passed to found
	count int          // events passed to found
	isCut bool         // the limit left out an event

	// State of the current call.
	full     int  // events in a full message, after which another may follow
	received int  // events in the last message; -1 before the first
	isOwn    bool // the server is dcb's
}

// errMore reports that a call ended in order and that there may be more events.
var errMore = errors.New("umadb: there may be more events")

// scan calls found with each event, and returns the Head and the More of the result. It returns
// no error if found stopped it.
func (c *Client) scan(
	ctx context.Context, q dcb.Query, opts dcb.ReadOptions, found func(e *dcb.SequencedEvent) bool,
) (head dcb.Position, more bool, err error) {
	if err := dcb.ValidateRead(q, opts); err != nil {
		return 0, false, err
	}
	s := &scan{query: toQuery(q), opts: opts, found: found}
	retry := wire.NewRetry(c.opts.RetryFor)
	for {
		before := s.count
		err := s.run(ctx, c)
		if err == nil {
			break
		}
		progressed := s.count > before
		if progressed {
			retry = wire.NewRetry(c.opts.RetryFor)
		}
		if errors.Is(err, errMore) {
			continue
		}
		// A server may limit the time of a call, and a consumer may take longer.
		isServersDeadline := errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
		if !dcb.Retryable(err) && (!progressed || !isServersDeadline) {
			return 0, false, err
		}
		if err := retry.Pause(ctx, c.closed, err); err != nil {
			return 0, false, err
		}
	}
	if s.isCut && !opts.Backwards {
		return s.last, true, nil
	}
	return opts.Top(s.head), s.isCut, nil
}

// request asks for the rest of the scan. It has no limit, because with a limit the server does
// not send its head. Instead the batch size is the number of events wanted, and the client ends
// the call when it has enough. The batch size is always sent: its default differs between
// versions of UmaDB's server, and a full last message means that the stream may have ended early.
func (s *scan) request() *umadbv1.ReadRequest {
	s.full, s.received, s.isOwn = defaultBatch, -1, false
	if s.opts.Limit > 0 {
		s.full = min(s.opts.Limit-s.count+1, maxBatch)
	}
	size := uint32(s.full)
	request := &umadbv1.ReadRequest{Query: s.query, BatchSize: &size}
	if s.opts.Backwards {
		request.Backwards = &s.opts.Backwards
	}
	after, before := s.bounds()
	switch start := uint64(0); {
	case s.opts.Backwards && before > 0:
		start = uint64(before) - 1
		request.Start = &start
	case !s.opts.Backwards && after > 0:
		start = max(uint64(after), uint64(after)+1) // the highest position has no successor
		request.Start = &start
	}
	return request
}

// bounds returns the exclusive bounds of the rest of the scan. 0 means no bound.
func (s *scan) bounds() (after, before dcb.Position) {
	after, before = s.opts.After, s.opts.Before
	if s.begun && !s.opts.Backwards && s.head < math.MaxUint64 && (before == 0 || before > s.head) {
		before = s.head + 1
	}
	if s.last > 0 && s.opts.Backwards {
		before = s.last
	} else if s.last > 0 {
		after = s.last
	}
	return after, before
}

// run makes one call. It returns nil when the scan is done.
func (s *scan) run(ctx context.Context, c *Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before := s.count
	options, trailer := c.callOptions()
	stream, err := c.rpc.Read(ctx, s.request(), options...)
	for err == nil {
		var m encoded
		if err = stream.RecvMsg(&m); err != nil {
			*trailer = stream.Trailer()
			break
		}
		var isDone bool
		if isDone, err = s.add(ctx, pf.NewMessage(*m.bytes)); err != nil || isDone {
			return err
		}
	}
	if errors.Is(err, io.EOF) {
		return s.ended(s.count > before)
	}
	_, err = c.failure(ctx, err, *trailer)
	return err
}

// ended returns nil if a call that ended in order delivered all events. UmaDB's server ends its
// streams in order also when it is shut down, at any message. So the last message must prove that
// it is the last: it is not full, or it reaches the end of the scan. dcb's server ends a stream
// in order only after the last event.
func (s *scan) ended(progressed bool) error {
	after, before := s.bounds()
	switch {
	case s.begun && before > 0 && before-1 <= after:
		return nil
	case s.received < 0:
		return unavailable(errBrokenOff)
	case s.received < s.full || s.isOwn:
		return nil
	case !progressed:
		return unavailable(errBrokenOff) // the server sent events outside the bounds; repeating at once would loop
	}
	return errMore
}

// add passes the events of a message to found. It reports whether the scan is done.
func (s *scan) add(ctx context.Context, m pf.Message) (isDone bool, err error) {
	if !s.begun {
		if err := s.begin(m); err != nil {
			return false, err
		}
	}
	if s.received > 0 {
		s.full = min(s.full, s.received) // a message followed, so this is the server's size of a full one
	}
	s.received = 0
	after, before := s.bounds()
	err = m.Each(func(f pf.Field) error {
		if isDone || !f.Is(1, protowire.BytesType) {
			return nil
		}
		var e dcb.SequencedEvent
		if err := readSequenced(f.Part, &e); err != nil {
			return err
		}
		s.received++
		s.isOwn = !e.RecordedAt.IsZero() // no other server sends it
		isBelow, isAbove := after >= e.Position, before > 0 && e.Position >= before
		switch {
		case isBelow && !s.opts.Backwards, isAbove && s.opts.Backwards:
			return nil
		case isBelow, isAbove:
			isDone = true
		case s.opts.Limit > 0 && s.count == s.opts.Limit:
			isDone, s.isCut = true, true
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			s.last = e.Position
			s.count++
			isDone = !s.found(&e)
		}
		return nil
	})
	return isDone, err
}

// begin takes the head from the first message.
func (s *scan) begin(m pf.Message) error {
	s.begun = true
	return m.Each(func(f pf.Field) error {
		if f.Is(2, protowire.VarintType) {
			s.head = dcb.Position(f.Varint)
		}
		return nil
	})
}
