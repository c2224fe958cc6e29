package observe

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

// failures logs one line per failed call.
type failures struct {
	logger *slog.Logger
	limits *rateLimits
}

func newFailures(logger *slog.Logger) *failures {
	return &failures{logger: logger, limits: newRateLimits()}
}

// levelOf returns the level for a code: debug for a normal result, info for a mistake of the
// caller's, warn for something to look at, error for a fault.
func levelOf(code wire.Code) slog.Level {
	switch code {
	case wire.Conflict, wire.Canceled:
		return slog.LevelDebug
	case wire.NoKey, wire.NoPermission, wire.Limit, wire.Deadline:
		return slog.LevelWarn
	case wire.Unavailable, wire.Unknown, wire.Corrupt, wire.Internal:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

func (f *failures) log(ctx context.Context, m method, code wire.Code, call wire.Call) {
	level := levelOf(code)
	if !f.logger.Enabled(ctx, level) {
		return
	}
	ok, dropped := f.limits.allow(string(code))
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("wire", m.wire), slog.String("method", m.name), slog.String("code", string(code)),
		slog.Duration("took", call.Duration), slog.String("cause", cause(code, call.Err)),
	}
	if call.Key != "" {
		attrs = append(attrs, slog.String("key_name", call.Key))
	}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		attrs = append(attrs, slog.String("trace_id", span.TraceID().String()))
	}
	if dropped > 0 {
		attrs = append(attrs, slog.Int(notLogged, dropped))
	}
	f.logger.LogAttrs(ctx, level, "call failed", attrs...)
}

// cause returns why a call failed, for the log. An error about the request can contain parts of
// the request. So only its kind and the path to the field are logged; the caller gets the whole
// text. Other errors are logged in full, for the operator.
func cause(code wire.Code, err error) string {
	switch code {
	case wire.Unavailable, wire.Unknown, wire.Corrupt, wire.Internal, wire.Canceled, wire.Deadline, wire.NoKey, wire.NoPermission, wire.Limit:
		return err.Error()
	case wire.Conflict:
		return dcb.ErrConflict.Error()
	case wire.DuplicateID:
		return dcb.ErrDuplicateID.Error()
	default:
		if invalid, ok := errors.AsType[*dcb.InvalidError](err); ok {
			return strings.TrimSpace(dcb.ErrInvalid.Error() + ": " + fieldPath(invalid.Field))
		}
		return dcb.ErrInvalid.Error()
	}
}

// fieldPath returns the part of the path to a field that has only known names and numbers. A
// metadata key ends it.
func fieldPath(field string) string {
	end := 0
	for word := range strings.FieldsFuncSeq(field, func(r rune) bool { return strings.ContainsRune(".[]/", r) }) {
		number := strings.Trim(word, "0123456789") == ""
		if !number && !knownNames[word] {
			break
		}
		end += strings.Index(field[end:], word) + len(word)
	}
	if end < len(field) && field[end] == ']' {
		end++
	}
	return field[:end]
}

// knownNames has the names in paths to fields.
var knownNames = map[string]bool{
	"events": true, "Type": true, "Tags": true, "Data": true, "Metadata": true, "ID": true,
	"condition": true, "FailIfEventsMatch": true, "query": true, "Types": true,
	"options": true, "Limit": true, "After": true, "Before": true, "Backwards": true,
	// The names in the protocols.
	"event_type": true, "type": true, "tags": true, "data": true, "dataBase64": true, "metadata": true, "uuid": true, "id": true,
	"fail_if_events_match": true, "failIfEventsMatch": true, "after": true, "before": true, "items": true, "types": true,
	"limit": true, "start": true, "from": true, "backwards": true, "subscribe": true, "batch_size": true, "tracking_info": true,
}
