package dcbnet

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

var (
	// errTooLarge: a received message exceeds the limit.
	errTooLarge = errors.New("dcbnet: a message is too large")
	// errBusy: a connection takes no more calls. Nothing was sent.
	errBusy = errors.New("dcbnet: the connection takes no more calls")
	// errNotSent: there is no connection, so nothing was sent.
	errNotSent = errors.New("dcbnet: no connection to a server")
)

// notSentError is an error that is errNotSent, too.
type notSentError struct{ error }

// Is reports whether target is errNotSent.
func (e *notSentError) Is(target error) bool { return target == errNotSent }

// Unwrap returns the reason that there is no connection.
func (e *notSentError) Unwrap() error { return e.error }

// foreignError: the other side speaks another protocol.
type foreignError struct{ protocol string } // "" if it is unknown

func (e *foreignError) Error() string {
	if e.protocol == "" {
		return "dcbnet: the other side does not speak dcb's protocol"
	}
	return "dcbnet: the other side does not speak dcb's protocol but " + e.protocol
}

// protocolOf returns the name of the protocol whose first four bytes are header, or "" if it is
// unknown.
func protocolOf(header []byte) string {
	switch {
	case bytes.HasPrefix(header, []byte{0x16, 3}), bytes.HasPrefix(header, []byte{0x15, 3}): // handshake, alert
		return "TLS"
	case bytes.HasPrefix(header, []byte("PRI ")), header[0] == 0 && header[3] == 4: // preface, SETTINGS
		return "HTTP/2 (gRPC)"
	}
	for _, word := range []string{"GET ", "POST", "PUT ", "HEAD", "OPTI", "HTTP"} {
		if bytes.HasPrefix(header, []byte(word)) {
			return "HTTP"
		}
	}
	return ""
}

// notOurs returns the client's error for a server that speaks another protocol. It is not
// retryable.
func notOurs(address string, e *foreignError) error {
	switch e.protocol {
	case "TLS":
		return fmt.Errorf("dcbnet: the server at %s expects TLS; add tls=on to the URL, or set ClientOptions.TLS", address)
	case "":
		return fmt.Errorf("dcbnet: the server at %s does not speak dcb's protocol; is this the port of another protocol?", address)
	}
	return fmt.Errorf("dcbnet: the server at %s does not speak dcb's protocol but %s; is this the port of another protocol?",
		address, e.protocol)
}

// tlsError returns the client's error for a failed TLS handshake. It is ErrUnavailable only if
// the network failed: repeating a handshake does not make a certificate valid.
func tlsError(address string, err error) error {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("dcbnet: the server at %s does not use TLS on this port: %w", address, err)
	}
	_, isNetwork := errors.AsType[net.Error](err)
	isLost := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe)
	if (isNetwork || isLost) && !isAlert(err) {
		return unavailable(fmt.Errorf("TLS handshake: %w", err))
	}
	return fmt.Errorf("dcbnet: TLS handshake with %s: %w", address, err)
}

// isAlert reports whether err is a TLS alert. Package tls exports no type for it.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "remote error" || op.Op == "local error")
}

// invalid returns an error for a request that violates the protocol.
func invalid(field, problem string) error { return &dcb.InvalidError{Field: field, Problem: problem} }

// malformed returns the server's error for a message that cannot be received.
func malformed(err error) error {
	if foreign, ok := errors.AsType[*foreignError](err); ok {
		if foreign.protocol == "" {
			return invalid("connection", fmt.Sprintf("does not begin with a Hello of at most %d bytes; this port speaks dcb's protocol", messageBytes))
		}
		return invalid("connection", "speaks "+foreign.protocol+"; this port speaks dcb's protocol without TLS")
	}
	if errors.Is(err, errTooLarge) {
		return invalid("message", "is larger than this server accepts")
	}
	if wire.CodeOf(err) != wire.Internal {
		return err
	}
	return invalid("message", "cannot be decoded: "+err.Error())
}

func unavailable(cause error) error { return &dcb.UnavailableError{Cause: cause} }

func outcomeUnknown(cause error) error {
	return &dcb.UnavailableError{OutcomeUnknown: true, Cause: cause}
}
