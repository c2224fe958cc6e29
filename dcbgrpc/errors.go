package dcbgrpc

import (
	"context"
	"errors"
	"io"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/proto/dcbv1"
	"github.com/dcbstore/dcb/internal/proto/umadbv1"
	"github.com/dcbstore/dcb/internal/wire"
)

// errorDetails is the trailer that a status' detail is in.
const errorDetails = "grpc-status-details-bin"

// onWire is how UmaDB's protocol says a code: as a status of gRPC, and as a kind of its own.
type onWire struct {
	code wire.Code
	grpc codes.Code
	kind umadbv1.ErrorResponse_ErrorType
	is   error // what it is at the client; nil for what has no error of its own
}

// wireCodes is the one mapping from errors to codes and back.
var wireCodes = []onWire{
	{wire.Conflict, codes.FailedPrecondition, umadbv1.ErrorResponse_INTEGRITY, dcb.ErrConflict},
	{wire.DuplicateID, codes.AlreadyExists, umadbv1.ErrorResponse_INTEGRITY, dcb.ErrDuplicateID},
	{wire.Invalid, codes.InvalidArgument, umadbv1.ErrorResponse_INVALID_ARGUMENT, dcb.ErrInvalid},
	{wire.NoEvents, codes.InvalidArgument, umadbv1.ErrorResponse_INVALID_ARGUMENT, dcb.ErrNoEvents},
	{wire.InvalidQuery, codes.InvalidArgument, umadbv1.ErrorResponse_INVALID_ARGUMENT, dcb.ErrInvalidQuery},
	{wire.NoKey, codes.Unauthenticated, umadbv1.ErrorResponse_AUTHENTICATION, auth.ErrKey},
	{wire.NoPermission, codes.PermissionDenied, umadbv1.ErrorResponse_AUTHENTICATION, auth.ErrPermission},
	{wire.Corrupt, codes.DataLoss, umadbv1.ErrorResponse_CORRUPTION, dcb.ErrCorrupt},
	{wire.Unavailable, codes.Unavailable, umadbv1.ErrorResponse_IO, dcb.ErrUnavailable},
	{wire.Unknown, codes.Unavailable, umadbv1.ErrorResponse_IO, dcb.ErrUnavailable},
	{wire.Limit, codes.ResourceExhausted, umadbv1.ErrorResponse_IO, dcb.ErrUnavailable},
	{wire.Stopping, codes.Unavailable, umadbv1.ErrorResponse_IO, dcb.ErrUnavailable},
	{wire.Canceled, codes.Canceled, umadbv1.ErrorResponse_INTERNAL, context.Canceled},
	{wire.Deadline, codes.DeadlineExceeded, umadbv1.ErrorResponse_INTERNAL, context.DeadlineExceeded},
	{wire.Internal, codes.Internal, umadbv1.ErrorResponse_INTERNAL, nil},
}

func wireCode(code wire.Code) onWire {
	for _, c := range wireCodes {
		if c.code == code {
			return c
		}
	}
	panic("dcbgrpc: no wire code for " + string(code))
}

// toMessage says err as a caller is told it.
func toMessage(err error) *dcbv1.Error {
	m := &dcbv1.Error{Code: string(wire.CodeOf(err)), Text: wire.Text(err)}
	if invalid, ok := errors.AsType[*dcb.InvalidError](err); ok {
		m.Field, m.Problem, m.Limit = invalid.Field, invalid.Problem, int64(invalid.Limit)
	}
	if conflict, ok := errors.AsType[*dcb.ConflictError](err); ok {
		m.Position = uint64(conflict.Position)
	}
	return m
}

// fromMessage returns the error that a server said, for which errors.Is and errors.As hold as they do at the server.
func fromMessage(m *dcbv1.Error) error {
	switch code := wire.Code(m.GetCode()); code {
	case wire.Conflict:
		return conflictAt(dcb.Position(m.GetPosition()))
	case wire.Invalid, wire.NoEvents, wire.InvalidQuery:
		invalid := &dcb.InvalidError{Field: m.GetField(), Problem: m.GetProblem(), Limit: int(m.GetLimit())}
		return &remoteError{text: m.GetText(), is: []error{wireCode(code).is, invalid}}
	case wire.Stopping:
		return unavailable(wire.ErrStopping)
	case wire.Unavailable, wire.Limit:
		return unavailable(errors.New(m.GetText()))
	case wire.Unknown:
		return outcomeUnknown(errors.New(m.GetText()))
	default:
		for _, c := range wireCodes {
			if c.code == code && c.is != nil {
				return &remoteError{text: m.GetText(), is: []error{c.is}}
			}
		}
		return &remoteError{text: m.GetText()}
	}
}

// remoteError is an error in a server's words.
type remoteError struct {
	text string
	is   []error
}

func (e *remoteError) Error() string {
	return "dcbgrpc: the server says: " + strings.TrimPrefix(e.text, "dcb: ")
}

func (e *remoteError) Unwrap() []error { return e.is }

func conflictAt(position dcb.Position) error { return &dcb.ConflictError{Position: position} }

func unavailable(cause error) error { return &dcb.UnavailableError{Cause: cause} }

func outcomeUnknown(cause error) error {
	return &dcb.UnavailableError{OutcomeUnknown: true, Cause: cause}
}

// toStatus says err as a status, whose detail is what setDetail puts into a trailer.
func toStatus(err error) error {
	return status.Error(wireCode(wire.CodeOf(err)).grpc, words(err))
}

// words are how UmaDB's protocol puts an error. There are clients that know a conflict by the word Integrity, and by nothing else.
func words(err error) string {
	if wireCode(wire.CodeOf(err)).kind == umadbv1.ErrorResponse_INTEGRITY {
		return "Integrity error: " + wire.Text(err)
	}
	return wire.Text(err)
}

// detailOf returns the trailer that goes with toStatus(err). The protocol has an ErrorResponse there by itself, and
// not within a google.rpc.Status, so grpc's own details will not do.
func detailOf(err error) metadata.MD {
	code := wireCode(wire.CodeOf(err))
	detail, marshalErr := proto.Marshal(&umadbv1.ErrorResponse{Message: words(err), ErrorType: code.kind, Dcb: toMessage(err)})
	if marshalErr != nil {
		return nil // the status says enough
	}
	return metadata.Pairs(errorDetails, string(detail))
}

// invalid is the error of a session that does not keep to the protocol.
func invalid(field, problem string) error { return &dcb.InvalidError{Field: field, Problem: problem} }

// malformed makes an error of reading a frame one of the caller's.
func malformed(err error) error {
	if wire.CodeOf(err) != wire.Internal {
		return err
	}
	return invalid("message", "cannot be read: "+err.Error())
}

// endOf returns what the end of a stream means: nothing, if the peer has no more to say.
func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	if errors.Is(err, errTooLarge) {
		return invalid("message", "is larger than this server takes")
	}
	if s, ok := status.FromError(err); ok {
		switch s.Code() {
		case codes.Canceled:
			return context.Canceled
		case codes.ResourceExhausted:
			return invalid("message", "is larger than this server takes")
		}
	}
	return err
}

// fromStatus returns the error that a server said by a status, and by the detail in its trailer.
func fromStatus(err error, trailer metadata.MD) error {
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	var detail umadbv1.ErrorResponse
	for _, text := range trailer.Get(errorDetails) {
		if proto.Unmarshal([]byte(text), &detail) == nil && detail.Dcb != nil {
			return fromMessage(detail.Dcb)
		}
	}
	switch s.Code() {
	case codes.Unavailable:
		return unavailable(errors.New(s.Message()))
	case codes.Canceled, codes.DeadlineExceeded, codes.Unauthenticated, codes.PermissionDenied, codes.DataLoss, codes.AlreadyExists:
		for _, c := range wireCodes {
			if c.grpc == s.Code() {
				return &remoteError{text: s.Message(), is: []error{c.is}}
			}
		}
	}
	return &remoteError{text: s.Code().String() + ": " + s.Message()}
}
