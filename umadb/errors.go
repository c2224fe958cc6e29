package umadb

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// errorDetails is the trailer that contains the ErrorResponse of a failed call.
const errorDetails = "grpc-status-details-bin"

// mapping is how the protocol expresses a code: as a gRPC status, and as an error type of its
// own.
type mapping struct {
	code   wire.Code
	status codes.Code
	kind   umadbv1.ErrorResponse_ErrorType
}

// mappings lists every code once. Where several codes share a status, the first is the one that a
// status without detail is turned into.
var mappings = []mapping{
	{wire.Conflict, codes.FailedPrecondition, umadbv1.ErrorResponse_INTEGRITY},
	{wire.DuplicateID, codes.AlreadyExists, umadbv1.ErrorResponse_INTEGRITY},
	{wire.Invalid, codes.InvalidArgument, umadbv1.ErrorResponse_INVALID_ARGUMENT},
	{wire.NoEvents, codes.InvalidArgument, umadbv1.ErrorResponse_INVALID_ARGUMENT},
	{wire.InvalidQuery, codes.InvalidArgument, umadbv1.ErrorResponse_INVALID_ARGUMENT},
	{wire.NoKey, codes.Unauthenticated, umadbv1.ErrorResponse_AUTHENTICATION},
	{wire.NoPermission, codes.PermissionDenied, umadbv1.ErrorResponse_AUTHENTICATION},
	{wire.Corrupt, codes.DataLoss, umadbv1.ErrorResponse_CORRUPTION},
	{wire.Unavailable, codes.Unavailable, umadbv1.ErrorResponse_IO},
	{wire.Unknown, codes.Unavailable, umadbv1.ErrorResponse_IO},
	{wire.Limit, codes.ResourceExhausted, umadbv1.ErrorResponse_IO},
	{wire.Stopping, codes.Unavailable, umadbv1.ErrorResponse_IO},
	{wire.Canceled, codes.Canceled, umadbv1.ErrorResponse_INTERNAL},
	{wire.Deadline, codes.DeadlineExceeded, umadbv1.ErrorResponse_INTERNAL},
	{wire.Internal, codes.Internal, umadbv1.ErrorResponse_INTERNAL},
}

func mappingOf(code wire.Code) mapping {
	for _, m := range mappings {
		if m.code == code {
			return m
		}
	}
	panic("umadb: no gRPC status for the code " + string(code))
}

// toStatus returns err as a gRPC status. Its detail is in the trailer that detailOf returns.
func toStatus(err error) error {
	return status.Error(mappingOf(wire.CodeOf(err)).status, message(err))
}

// message returns the text of err in this protocol. Some clients recognize a conflict only by the
// words "Integrity error".
func message(err error) string {
	if mappingOf(wire.CodeOf(err)).kind == umadbv1.ErrorResponse_INTEGRITY {
		return "Integrity error: " + wire.Text(err)
	}
	return wire.Text(err)
}

// detailOf returns the trailer with the ErrorResponse for err. The protocol expects it without
// the google.rpc.Status around it, which gRPC's own status details would add.
func detailOf(err error) metadata.MD {
	detail, marshalErr := proto.Marshal(errorResponse(err))
	if marshalErr != nil {
		return nil // the status alone is enough
	}
	return metadata.Pairs(errorDetails, string(detail))
}

func errorResponse(err error) *umadbv1.ErrorResponse {
	e := wire.Describe(err)
	return &umadbv1.ErrorResponse{
		Message: message(err), ErrorType: mappingOf(e.Code).kind,
		Dcb: &umadbv1.DCBError{
			Code: string(e.Code), Text: e.Text, Field: e.Field, Problem: e.Problem,
			Limit: int64(e.Limit), Position: uint64(e.Position),
		},
	}
}

// fromDetail returns the error in a detail. dcb's server describes it in full; of another
// server's error only the type is known.
func fromDetail(detail *umadbv1.ErrorResponse) error {
	if d := detail.GetDcb(); d != nil {
		e := wire.Error{
			Code: wire.Code(d.GetCode()), Text: d.GetText(), Field: d.GetField(), Problem: d.GetProblem(),
			Limit: int(d.GetLimit()), Position: dcb.Position(d.GetPosition()),
		}
		return e.Err()
	}
	code := wire.Internal
	switch detail.GetErrorType() {
	case umadbv1.ErrorResponse_IO:
		code = wire.Unavailable
	case umadbv1.ErrorResponse_INTEGRITY:
		code = wire.Conflict
	case umadbv1.ErrorResponse_CORRUPTION:
		code = wire.Corrupt
	case umadbv1.ErrorResponse_AUTHENTICATION:
		code = wire.NoKey
	case umadbv1.ErrorResponse_SERIALIZATION, umadbv1.ErrorResponse_INVALID_ARGUMENT:
		code = wire.Invalid
	case umadbv1.ErrorResponse_INTERNAL:
	}
	return foreignError(code, detail.GetMessage())
}

// fromStatus returns the error for a status without detail, which gRPC or a proxy made. Internal
// is what gRPC makes of a stream that a proxy reset.
func fromStatus(err error) error {
	s := status.Convert(err)
	switch code := s.Code(); code {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.Internal:
		return unavailable(errors.New(s.Message()))
	case codes.OK, codes.Unknown, codes.NotFound, codes.OutOfRange, codes.Unimplemented, codes.ResourceExhausted:
	default:
		for _, m := range mappings {
			if m.status == code {
				return foreignError(m.code, s.Message())
			}
		}
	}
	return foreignError(wire.Internal, s.Message())
}

func foreignError(code wire.Code, text string) error {
	e := wire.Error{Code: code, Text: "umadb: the server answered: " + text, Field: "request", Problem: text}
	return e.Err()
}

var (
	errBrokenOff = errors.New("umadb: the server ended the stream early, as it does when it is shut down")
	errStaleHead = errors.New("umadb: the server reports a head below the positions of the events that it sends")
	errForeign   = errors.New("umadb: the server may record a repeated append twice, so it was not repeated")
)

func conflictAt(position dcb.Position) error { return &dcb.ConflictError{Position: position} }

func unavailable(cause error) error { return &dcb.UnavailableError{Cause: cause} }

func outcomeUnknown(cause error) error {
	return &dcb.UnavailableError{OutcomeUnknown: true, Cause: cause}
}

// trackingError is the error of an append whose tracking position is not greater than the stored
// one. It is a conflict, which is how UmaDB's server reports it.
type trackingError struct{ given, stored uint64 }

func (e *trackingError) Error() string {
	return fmt.Sprintf("%v: non-increasing tracking position: %d is not greater than the stored position %d",
		dcb.ErrConflict, e.given, e.stored)
}

// Is reports whether target is [dcb.ErrConflict].
func (e *trackingError) Is(target error) bool { return target == dcb.ErrConflict }
