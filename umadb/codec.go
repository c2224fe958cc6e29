package umadb

import (
	"sync"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that codec falls back to
	"google.golang.org/grpc/mem"
)

// encoded is a message that is encoded already, or not decoded yet. Messages of events are
// encoded straight from the store's events, and decoded straight into dcb's, without generated
// structs.
type encoded struct{ bytes *[]byte }

// codec is gRPC's codec for Protocol Buffers, which passes encoded messages through.
type codec struct{}

// Name returns the name of gRPC's own codec: the encoding on the wire is the same.
func (codec) Name() string { return "proto" }

// Marshal encodes v. It takes over the buffer of an encoded message, and reuses it after sending.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*encoded); ok {
		return mem.BufferSlice{mem.NewBuffer(m.bytes, &buffers)}, nil
	}
	return encoding.GetCodecV2("proto").Marshal(v)
}

// Unmarshal decodes data into v. An encoded message gets a copy, because decoded events alias it.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(*encoded); ok {
		bytes := data.Materialize()
		m.bytes = &bytes
		return nil
	}
	return encoding.GetCodecV2("proto").Unmarshal(data, v)
}

// buffers holds the buffers of encoded messages between uses.
var buffers bufferPool

// maxPooled is the largest capacity of a buffer that is reused. The garbage collector frees
// others.
const maxPooled = 256 << 10

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 4096)
	return &b
}

// Get implements mem.BufferPool. gRPC calls it for buffers of its own.
func (p *bufferPool) Get(length int) *[]byte { return mem.DefaultBufferPool().Get(length) }

// Put takes back a buffer that gRPC has sent.
func (p *bufferPool) Put(b *[]byte) {
	if cap(*b) > maxPooled {
		return
	}
	*b = (*b)[:0]
	p.pool.Put(b)
}
