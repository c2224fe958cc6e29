package dcbgrpc

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/proto/umadbv1"
	"github.com/dcbstore/dcb/internal/wire"
)

const (
	defaultBatch = 1024
	maxBatch     = 4096
	// maxBatchBytes keeps a message under the 4 MiB that receivers take unless told otherwise. A single event may still be larger.
	maxBatchBytes = 3 << 20
	// readAtOnce is how many events a read asks the store for at first. Most reads select fewer, and are answered by that.
	readAtOnce = 64
)

func batchSize(asked *uint32) int {
	if asked == nil {
		return defaultBatch
	}
	return min(max(int(*asked), 1), maxBatch)
}

// umadbBatch gathers events into messages, and sends those that are full. It encodes by hand what ReadResponse and SubscribeResponse have in
// common, from the store's events right into the message.
type umadbBatch struct {
	stream grpc.ServerStream
	size   int // events a message at most

	head     dcb.Position // what every message says: 0 for nothing
	lastHead bool         // each message says the position of its last event instead

	bytes  *[]byte // nil: none yet
	count  int     // events in bytes
	before int     // how large the message before was
	sent   bool
}

func newUmaDBBatch(stream grpc.ServerStream, asked *uint32) *umadbBatch {
	return &umadbBatch{stream: stream, size: batchSize(asked)}
}

// begin sees to it that there is a buffer. Messages of one stream are about as large as each other, and growing is what costs most.
func (b *umadbBatch) begin() {
	if b.bytes != nil {
		return
	}
	b.bytes = buffers.get()
	if room := b.before + b.before/8; cap(*b.bytes) < room {
		*b.bytes = make([]byte, 0, room)
	}
}

func (b *umadbBatch) add(e *dcb.SequencedEvent) error {
	b.begin()
	before := len(*b.bytes)
	*b.bytes = appendUmaDBSequenced(*b.bytes, e)
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

func (b *umadbBatch) send() error {
	b.begin()
	*b.bytes = appendNumber(*b.bytes, 2, uint64(b.head))
	size := len(*b.bytes)
	err := b.stream.SendMsg(&frame{b.bytes}) // which takes the buffer over
	b.before, b.bytes, b.count, b.sent = size, nil, 0, true
	return err
}

// flush sends what is left.
func (b *umadbBatch) flush() error {
	if b.count == 0 {
		return nil
	}
	return b.send()
}

// Read implements the protocol.
func (u *umadbServer) Read(in *umadbv1.ReadRequest, stream grpc.ServerStreamingServer[umadbv1.ReadResponse]) error {
	ctx := stream.Context()
	call, err := u.admit(ctx, "Read", auth.Read)
	if err == nil {
		bounded, patience := newPatience(ctx, u.server.opts.Limits.CallTime)
		err = patience.cause(bounded, u.read(bounded, in, &patientStream{stream, patience}))
		patience.end()
	}
	return call.done(ctx, err, stream.SetTrailer)
}

// patience is how long a read may go on without sending anything. What is limited is how long the store takes for a message: not how much is
// read, nor how long the receiver takes.
type patience struct {
	time  time.Duration
	timer *time.Timer
	stop  context.CancelCauseFunc
}

func newPatience(ctx context.Context, limit time.Duration) (context.Context, *patience) {
	ctx, stop := context.WithCancelCause(ctx)
	return ctx, &patience{limit, time.AfterFunc(limit, func() { stop(context.DeadlineExceeded) }), stop}
}

func (p *patience) end() {
	p.timer.Stop()
	p.stop(nil)
}

// cause returns why a read ended: err, unless that is no more than that the time was over.
func (p *patience) cause(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) {
		return context.Cause(ctx)
	}
	return err
}

// patientStream is a stream of a read, whose patience begins anew with each message.
type patientStream struct {
	grpc.ServerStream
	patience *patience
}

// SendMsg sends a message.
func (s *patientStream) SendMsg(m any) error {
	s.patience.timer.Stop()
	defer s.patience.timer.Reset(s.patience.time)
	return s.ServerStream.SendMsg(m)
}

func (u *umadbServer) read(ctx context.Context, in *umadbv1.ReadRequest, stream grpc.ServerStream) error {
	if in.GetSubscribe() { //nolint:staticcheck // it is deprecated, which is why it is refused
		return &dcb.InvalidError{Field: "subscribe", Problem: "is set; the method Subscribe does that"}
	}
	q, err := u.queryOf(in.GetQuery())
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
		opts.Before = start + 1 // which is 0, no bound, for the last position there can be
	case start > 0:
		opts.After = start - 1
	}
	batch := newUmaDBBatch(stream, in.BatchSize)
	batch.lastHead = in.Limit != nil
	if err := u.readInto(ctx, batch, q, opts); err != nil {
		return err
	}
	if !batch.sent || batch.count > 0 {
		return batch.send()
	}
	return nil
}

// readInto reads what q and opts select: by a single call of the store if it is little, and otherwise the rest in pages, up to the head at the start.
func (u *umadbServer) readInto(ctx context.Context, batch *umadbBatch, q dcb.Query, opts dcb.ReadOptions) error {
	limit := opts.Limit
	opts.Limit = readAtOnce
	if limit > 0 {
		opts.Limit = min(limit, readAtOnce)
	}
	result, err := u.server.store.Read(ctx, q, opts)
	if err != nil {
		return err
	}
	count := len(result.Events)
	cut := result.More && limit != count
	if !batch.lastHead {
		batch.head = result.Head
		// The Head of a forward read with More is that of its last event, and the Head of a read with Before may be Before - 1.
		// In both cases the events are also the first of a read up to the store's present head.
		if cut && !opts.Backwards || result.Head+1 == opts.Before {
			if batch.head, err = u.server.store.Head(ctx); err != nil {
				return err
			}
		}
	}
	for i := range result.Events {
		if err := batch.add(&result.Events[i]); err != nil {
			return err
		}
	}
	if !cut {
		return nil
	}
	last := result.Events[count-1].Position
	if opts.Backwards {
		opts.Before = last
	} else {
		opts.After = last
		if batch.head > 0 && !batch.lastHead {
			opts.Before = batch.head + 1
		}
	}
	if opts.Limit = 0; limit > 0 {
		opts.Limit = limit - count
	}
	for event, err := range dcb.Stream(ctx, u.server.store, q, opts) {
		if err != nil {
			return err
		}
		if err := batch.add(&event); err != nil {
			return err
		}
	}
	return nil
}

// Subscribe implements the protocol.
func (u *umadbServer) Subscribe(in *umadbv1.SubscribeRequest, stream grpc.ServerStreamingServer[umadbv1.SubscribeResponse]) error {
	call, err := u.admit(stream.Context(), "Subscribe", auth.Read)
	if err == nil {
		err = u.subscribe(in, stream)
	}
	return call.done(stream.Context(), err, stream.SetTrailer)
}

func (u *umadbServer) subscribe(in *umadbv1.SubscribeRequest, stream grpc.ServerStream) error {
	q, err := u.queryOf(in.GetQuery())
	if err != nil {
		return err
	}
	if err := dcb.ValidateRead(q, dcb.ReadOptions{}); err != nil {
		return err
	}
	if in.GetAfter() == math.MaxUint64 {
		return nil // nothing can come
	}
	// Some clients wait for the headers before they return from the call.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	go u.server.watch(ctx, secretOf(ctx, u.server.opts.Keys), cancel)
	batch := newUmaDBBatch(stream, in.BatchSize)
	for found, err := range wire.Follow(ctx, u.server.store, q, dcb.Position(in.GetAfter())) {
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
		for i := range found.Events {
			if err := batch.add(&found.Events[i]); err != nil {
				return err
			}
		}
		if err := batch.flush(); err != nil {
			return err
		}
	}
	return nil
}

// watch ends what may go on for ever when the server stops or the key that it was asked for with has lost its right.
func (s *Server) watch(ctx context.Context, secret string, end context.CancelCauseFunc) {
	for {
		changed := s.opts.Keys.Changed()
		if _, err := s.opts.Keys.Check(secret, auth.Read); err != nil {
			end(err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-s.stopping:
			end(wire.ErrStopping)
			return
		case <-changed:
		}
	}
}

// appendUmaDBSequenced adds e to a message as one of its events.
func appendUmaDBSequenced(b []byte, e *dcb.SequencedEvent) []byte {
	plain, info := &e.Event, (*umadbv1.TrackingInfo)(nil)
	if len(e.Metadata) > 0 {
		var event dcb.Event
		event, info = untracked(&e.Event)
		plain = &event
	}
	b, place := open(b, 1)
	b = appendNumber(b, 1, uint64(e.Position))
	b = appendUmaDBEvent(b, 2, plain)
	if info != nil {
		var inner int
		b, inner = open(b, 3)
		b = appendText(b, 1, info.GetSource())
		b = appendNumber(b, 2, info.GetPosition())
		b = shut(b, inner)
	}
	if !e.RecordedAt.IsZero() {
		b = appendNumber(b, 1000, uint64(e.RecordedAt.UnixMicro()))
	}
	return shut(b, place)
}

func appendUmaDBEvent(b []byte, field protowire.Number, e *dcb.Event) []byte {
	b, place := open(b, field)
	b = appendText(b, 1, e.Type)
	b = appendTexts(b, 2, e.Tags)
	if len(e.Data) > 0 {
		b = protowire.AppendTag(b, 3, protowire.BytesType)
		b = protowire.AppendBytes(b, e.Data)
	}
	if e.ID != uuid.Nil {
		b = appendText(b, 4, e.ID.String())
	}
	if len(e.Metadata) > 0 {
		b = appendUmaDBMetadata(b, e.Metadata)
	}
	return shut(b, place)
}

// appendUmaDBMetadata adds the entries in the order of their keys, so that an event is always the same bytes.
func appendUmaDBMetadata(b []byte, values map[string]string) []byte {
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, strings.Compare)
	for _, key := range keys {
		var place int
		b, place = open(b, 5)
		b = appendText(b, 1, key)
		b = appendText(b, 2, values[key])
		b = shut(b, place)
	}
	return b
}
