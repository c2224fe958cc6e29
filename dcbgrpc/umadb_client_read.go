package dcbgrpc

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/proto/umadbv1"
)

// Read returns the events that q selects, as [dcb.Store] says.
func (c *UmaDBClient) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
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

// Stream yields the events that q selects, as [dcb.Stream] says. They come in one call, as fast as they are taken.
func (c *UmaDBClient) Stream(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		_, _, err := c.scan(ctx, q, opts, func(e *dcb.SequencedEvent) bool { return yield(*e, nil) })
		if err != nil {
			yield(dcb.SequencedEvent{}, err)
		}
	}
}

// umadbScan is a read that may take several calls, when connections are lost.
type umadbScan struct {
	query *umadbv1.Query
	opts  dcb.ReadOptions
	found func(e *dcb.SequencedEvent) bool // false: enough

	begun bool         // the server has said its head
	head  dcb.Position // then
	last  dcb.Position // of the last event found
	count int
	isCut bool // there is one event more than the limit

	// Of the call under way:
	full   int  // a message with as many events may be followed by another; one with fewer is the last
	got    int  // how many the last message has; -1 before the first
	isOurs bool // the server is dcb's
}

// errMore says that a call ended well and that there may be more.
var errMore = errors.New("dcbgrpc: there may be more")

// scan calls found with each event, and returns the Head and the More of the read. It returns no error when found has enough.
func (c *UmaDBClient) scan(
	ctx context.Context, q dcb.Query, opts dcb.ReadOptions, found func(e *dcb.SequencedEvent) bool,
) (head dcb.Position, more bool, err error) {
	if err := dcb.ValidateRead(q, opts); err != nil {
		return 0, false, err
	}
	s := &umadbScan{query: queryToUmaDB(q), opts: opts, found: found}
	t := newRetry(c.opts.RetryFor)
	for {
		before := s.count
		err := s.once(ctx, c)
		if err == nil {
			break
		}
		if s.count > before {
			t = newRetry(c.opts.RetryFor) // it gets on
		}
		if errors.Is(err, errMore) {
			continue
		}
		// A server may limit how long one call takes, and a consumer may take longer.
		if !dcb.Retryable(err) && (s.count == before || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
			return 0, false, err
		}
		if err := t.again(ctx, c.closed, err); err != nil {
			return 0, false, err
		}
	}
	if s.isCut && !opts.Backwards {
		return s.last, true, nil
	}
	return opts.Top(s.head), s.isCut, nil
}

// request asks for what is left. The limit is not the server's business: with one it would not say its head. So it is told by the size of a message
// how much is wanted, and the call is given up when enough has come. That size is always said, since what it is otherwise is not the same for all
// versions of UmaDB's server, and a message that is full says something when the stream ends after it.
func (s *umadbScan) request() *umadbv1.ReadRequest {
	s.full, s.got, s.isOurs = defaultBatch, -1, false
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
		start = max(uint64(after), uint64(after)+1) // after the last position that there can be comes nothing, and it is left out below
		request.Start = &start
	}
	return request
}

// bounds returns between which positions, exclusively, what is left is. 0 is none.
func (s *umadbScan) bounds() (after, before dcb.Position) {
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

// once makes a call, and returns nil when the scan is done.
func (s *umadbScan) once(ctx context.Context, c *UmaDBClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before := s.count
	options, trailer := c.options()
	stream, err := c.rpc.Read(ctx, s.request(), options...)
	for err == nil {
		var f frame
		if err = stream.RecvMsg(&f); err != nil {
			*trailer = stream.Trailer()
			break
		}
		var isDone bool
		if isDone, err = s.take(ctx, newMessage(*f.bytes)); err != nil || isDone {
			return err
		}
	}
	if errors.Is(err, io.EOF) {
		return s.ended(s.count > before)
	}
	_, err = c.failure(ctx, err, *trailer)
	return err
}

// ended returns what it means that the stream of a call ended well: nil if that was all. UmaDB's server ends streams so also when it is shut down, before the first message
// or after any other. So the last message must show that none is missing: by being short, or by coming to where the scan ends. Only dcb's server means it.
func (s *umadbScan) ended(getsOn bool) error {
	after, before := s.bounds()
	switch {
	case s.begun && before > 0 && before-1 <= after:
		return nil
	case s.got < 0:
		return unavailable(errBrokenOff)
	case s.got < s.full || s.isOurs:
		return nil
	case !getsOn:
		return unavailable(errBrokenOff) // it sends what was not asked for, and asking at once would never end
	}
	return errMore
}

// take looks at a message, and reports whether that is enough.
func (s *umadbScan) take(ctx context.Context, m message) (isDone bool, err error) {
	if !s.begun {
		if err := s.begin(m); err != nil {
			return false, err
		}
	}
	if s.got > 0 {
		s.full = min(s.full, s.got) // it was not the last, so this is what the server takes for full
	}
	s.got = 0
	after, before := s.bounds()
	err = m.each(func(f field) error {
		if isDone || !f.is(1, protowire.BytesType) {
			return nil
		}
		var e dcb.SequencedEvent
		if err := f.part.readUmaDBSequenced(&e); err != nil {
			return err
		}
		s.got++
		s.isOurs = !e.RecordedAt.IsZero() // which no other server says
		isBefore, isAfter := after >= e.Position, before > 0 && e.Position >= before
		switch {
		case isBefore && !s.opts.Backwards, isAfter && s.opts.Backwards:
			return nil
		case isBefore, isAfter:
			isDone = true
		case s.opts.Limit > 0 && s.count == s.opts.Limit:
			isDone, s.isCut = true, true
		case ctx.Err() != nil: // what has come already does not matter any more
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
func (s *umadbScan) begin(m message) error {
	s.begun = true
	return m.each(func(f field) error {
		if f.is(2, protowire.VarintType) {
			s.head = dcb.Position(f.varint)
		}
		return nil
	})
}

// readUmaDBSequenced reads a SequencedEvent of UmaDB's protocol into e.
func (m message) readUmaDBSequenced(e *dcb.SequencedEvent) error {
	return m.each(func(f field) error {
		switch {
		case f.is(1, protowire.VarintType):
			e.Position = dcb.Position(f.varint)
		case f.is(2, protowire.BytesType):
			return f.part.readUmaDBEvent(&e.Event)
		case f.is(1000, protowire.VarintType):
			e.RecordedAt = time.UnixMicro(int64(f.varint)).UTC()
		}
		return nil
	})
}

func (m message) readUmaDBEvent(e *dcb.Event) error {
	return m.each(func(f field) (err error) {
		switch {
		case f.is(1, protowire.BytesType):
			e.Type = f.part.text
		case f.is(2, protowire.BytesType):
			e.Tags = append(e.Tags, f.part.text)
		case f.is(3, protowire.BytesType):
			e.Data = f.part.bytes
		case f.is(4, protowire.BytesType):
			if f.part.text != "" {
				e.ID, err = uuid.Parse(f.part.text)
			}
		case f.is(5, protowire.BytesType):
			err = f.part.readEntry(e)
		}
		return err
	})
}
