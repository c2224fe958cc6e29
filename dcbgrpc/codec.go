package dcbgrpc

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // what codec falls back on
	"google.golang.org/grpc/mem"
)

// frame is a message of a session that is encoded already: Requests or Answers.
type frame struct{ bytes *[]byte }

// codec is gRPC's own for messages, and lets frames through as they are. They are encoded where they are made, by many goroutines
// into one buffer, which generated code could not do.
type codec struct{}

// Name is the one of Protocol Buffers, which is what everything is encoded in.
func (codec) Name() string { return "proto" }

// Marshal encodes a message. A frame is taken over, and its buffer used again afterwards.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return mem.BufferSlice{mem.NewBuffer(f.bytes, &buffers)}, nil
	}
	return encoding.GetCodecV2("proto").Marshal(v)
}

// Unmarshal decodes a message. A frame gets a copy of its own, for what is read from it keeps it.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*frame); ok {
		bytes := data.Materialize()
		f.bytes = &bytes
		return nil
	}
	return encoding.GetCodecV2("proto").Unmarshal(data, v)
}
