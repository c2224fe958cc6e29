package umadb

import (
	"context"
	"errors"
	"math"
	"time"

	"google.golang.org/grpc"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	pf "github.com/dcbstore/dcb/internal/protofield"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

const (
	defaultBatch = 1024 // events per message
	maxBatch     = 4096 // events per message
	// maxBatchBytes keeps a message below 4 MiB, the default maximum of gRPC's receivers. A single
	// event may still be larger.
	maxBatchBytes = 3 << 20
)

// batchSize returns the number of events per message for a requested batch_size.
func batchSize(requested *uint32) int {
	if requested == nil {
		return defaultBatch
	}
	return min(max(int(*requested), 1), maxBatch)
}

// batch collects events into a message, and sends it when it is full. ReadResponse and
// SubscribeResponse have the same encoding.
type batch struct {
	stream grpc.ServerStream
	size   int // maximum number of events

	head     dcb.Position // in every message; 0 means absent
	lastHead bool         // the head of a message is the position of its last event

	bytes    *[]byte // nil between messages
	count    int     // events in bytes
	previous int     // bytes of the previous message
	sent     bool    // at least one message was sent
}

func newBatch(stream grpc.ServerStream, requested *uint32) *batch {
	return &batch{stream: stream, size: batchSize(requested)}
}

// begin allocates the buffer of a message. The messages of one stream have similar sizes, and
// growing a buffer is the most expensive part of encoding.
func (b *batch) begin() {
	if b.bytes != nil {
		return
	}
	b.bytes = buffers.get()
	if expected := b.previous + b.previous/8; cap(*b.bytes) < expected {
		*b.bytes = make([]byte, 0, expected)
	}
}

// add adds an event, and sends the message if it is full.
func (b *batch) add(e *dcb.SequencedEvent) error {
	b.begin()
	before := len(*b.bytes)
	*b.bytes = appendSequenced(*b.bytes, e)
	if len(*b.bytes) > maxBatchBytes && b.count > 0 {
		next := append(*buffers.get(), (*b.bytes)[before:]...)
		*b.bytes = (*b.bytes)[:before]
		if err := b.send(); err != nil {
			return err
		}
		b.bytes = &next
	}
	if b.lastHead {
		b.head = e.Position
	}
	b.count++
	if b.count == b.size {
		return b.send()
	}
	return nil
}

func (b *batch) send() error {
	b.begin()
	*b.bytes = pf.AppendUint(*b.bytes, 2, uint64(b.head))
	size := len(*b.bytes)
	err := b.stream.SendMsg(&encoded{b.bytes}) // takes over the buffer
	b.previous, b.bytes, b.count, b.sent = size, nil, 0, true
	return err
}

// flush sends the events that are left.
func (b *batch) flush() error {
	if b.count == 0 {
		return nil
	}
	return b.send()
}

// Read implements the rpc.
func (s *service) Read(in *umadbv1.ReadRequest, stream grpc.ServerStreamingServer[umadbv1.ReadResponse]) error {
	ctx := stream.Context()
	call, err := s.begin(ctx, "Read", auth.Read)
	if err == nil {
		limited, limit := newIdleLimit(ctx, s.server.opts.Limits.CallTime)
		err = limit.cause(limited, s.read(limited, in, &limitedStream{stream, limit}))
		limit.stop()
	}
	return call.end(ctx, err, stream.SetTrailer)
}

// idleLimit bounds the time that the store takes for one message of a read. Neither the size of
// the read nor the speed of the receiver is limited.
type idleLimit struct {
	time   time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func newIdleLimit(ctx context.Context, limit time.Duration) (context.Context, *idleLimit) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(context.DeadlineExceeded) })
	return ctx, &idleLimit{limit, timer, cancel}
}

func (l *idleLimit) stop() {
	l.timer.Stop()
	l.cancel(nil)
}

// cause returns the reason that a read ended with err: the time limit, if it canceled the read.
func (l *idleLimit) cause(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) {
		return context.Cause(ctx)
	}
	return err
}

// limitedStream is the stream of a read. Its time limit pauses during a SendMsg and begins again
// after it.
type limitedStream struct {
	grpc.ServerStream
	limit *idleLimit
}

// SendMsg sends a message.
func (s *limitedStream) SendMsg(m any) error {
	s.limit.timer.Stop()
	defer s.limit.timer.Reset(s.limit.time)
	return s.ServerStream.SendMsg(m)
}

func (s *service) read(ctx context.Context, in *umadbv1.ReadRequest, stream grpc.ServerStream) error {
	if in.GetSubscribe() { //nolint:staticcheck // deprecated in the protocol, and refused here
		return &dcb.InvalidError{Field: "subscribe", Problem: "is set; call the method Subscribe instead"}
	}
	q, err := s.fromQuery(in.GetQuery())
	if err != nil {
		return err
	}
	if in.Limit != nil && in.GetLimit() == 0 {
		return dcb.ValidateRead(q, dcb.ReadOptions{})
	}
	opts := dcb.ReadOptions{Backwards: in.GetBackwards(), Limit: int(in.GetLimit())}
	switch start := dcb.Position(in.GetStart()); {
	case in.Start == nil:
	case opts.Backwards:
		opts.Before = start + 1 // 0, no bound, for the highest possible position
	case start > 0:
		opts.After = start - 1
	}
	b := newBatch(stream, in.BatchSize)
	b.lastHead = in.Limit != nil
	if err := s.readInto(ctx, b, q, opts); err != nil {
		return err
	}
	if !b.sent || b.count > 0 {
		return b.send()
	}
	return nil
}

// readInto adds the events up to the head at the start to b.
func (s *service) readInto(ctx context.Context, b *batch, q dcb.Query, opts dcb.ReadOptions) error {
	var head dcb.Position
	paging := dcb.PageOptions{Bytes: wire.PageBytes, OnHead: func(position dcb.Position) { head = position }}
	for page, err := range dcb.Pages(ctx, s.server.store, q, opts, paging) {
		if err != nil {
			return err
		}
		if !b.lastHead && b.head == 0 {
			// A read with Before is complete up to Before - 1. The protocol sends the store's head.
			if b.head = head; opts.Before > 0 && head+1 == opts.Before {
				if b.head, err = s.server.store.Head(ctx); err != nil {
					return err
				}
			}
		}
		for i := range page.Events {
			if err := b.add(&page.Events[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Subscribe implements the rpc.
func (s *service) Subscribe(
	in *umadbv1.SubscribeRequest, stream grpc.ServerStreamingServer[umadbv1.SubscribeResponse],
) error {
	call, err := s.begin(stream.Context(), "Subscribe", auth.Read)
	if err == nil {
		err = s.subscribe(in, stream)
	}
	return call.end(stream.Context(), err, stream.SetTrailer)
}

func (s *service) subscribe(in *umadbv1.SubscribeRequest, stream grpc.ServerStream) error {
	q, err := s.fromQuery(in.GetQuery())
	if err != nil {
		return err
	}
	if err := dcb.ValidateRead(q, dcb.ReadOptions{}); err != nil {
		return err
	}
	if in.GetAfter() == math.MaxUint64 {
		return nil // no event can follow
	}
	// Some clients wait for the headers before they return from the call.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	go s.server.watch(ctx, secretOf(ctx, s.server.opts.Keys), cancel)
	b := newBatch(stream, in.BatchSize)
	for page, err := range wire.Follow(ctx, s.server.store, q, dcb.Position(in.GetAfter())) {
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
		for i := range page.Events {
			if err := b.add(&page.Events[i]); err != nil {
				return err
			}
		}
		if err := b.flush(); err != nil {
			return err
		}
	}
	return nil
}
