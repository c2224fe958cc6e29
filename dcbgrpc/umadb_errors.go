package dcbgrpc

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dcbstore/dcb/internal/proto/dcbv1"
	"github.com/dcbstore/dcb/internal/proto/umadbv1"
	"github.com/dcbstore/dcb/internal/wire"
)

// fromDetail returns the error that a server of UmaDB's protocol said. Dcb's says it as a session does; of others there is the kind. Their words are
// left out where they quote events.
func fromDetail(detail *umadbv1.ErrorResponse) error {
	if detail.GetDcb() != nil {
		return fromMessage(detail.GetDcb())
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
	return fromForeign(code, detail.GetMessage())
}

var (
	errBrokenOff = errors.New("dcbgrpc: the server ended the stream before all was said, as it does when it is shut down")
	errBehind    = errors.New("dcbgrpc: the head that the server says is behind the events that it sends")
)

// fromUmaDBStatus returns the error of a call that gRPC says something about and the server nothing. Internal is then what gRPC makes of a
// stream that was reset, by a proxy for example.
func fromUmaDBStatus(err error) error {
	said := status.Convert(err)
	switch code := said.Code(); code {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.Internal:
		return unavailable(errors.New(said.Message()))
	case codes.OK, codes.Unknown, codes.NotFound, codes.OutOfRange, codes.Unimplemented, codes.ResourceExhausted:
	default:
		for _, c := range wireCodes {
			if c.grpc == code {
				return fromForeign(c.code, said.Message())
			}
		}
	}
	return fromForeign(wire.Internal, said.Message())
}

func fromForeign(code wire.Code, text string) error {
	return fromMessage(&dcbv1.Error{Code: string(code), Text: text, Field: "request", Problem: text})
}
