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

// failures writes one line for each call that failed.
type failures struct {
	log     *slog.Logger
	budgets *budgets
}

func newFailures(log *slog.Logger) *failures { return &failures{log: log, budgets: newBudgets()} }

// levelOf says how bad a code is for who runs the server: nothing, a caller's mistake, something to look at, or a fault.
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

func (f *failures) tell(ctx context.Context, m method, code wire.Code, call wire.Call) {
	level := levelOf(code)
	if !f.log.Enabled(ctx, level) {
		return
	}
	may, left := f.budgets.mayWrite(string(code))
	if !may {
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
	if left > 0 {
		attrs = append(attrs, slog.Int(notLogged, left))
	}
	f.log.LogAttrs(ctx, level, "a call failed", attrs...)
}

// cause says why a call failed. Where the fault is the caller's, the error's text may have in it what he sent, so that only its kind and the
// place are told; he himself is told all of it. Where the fault is ours its text has what the operator needs.
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
			return strings.TrimSpace(dcb.ErrInvalid.Error() + ": " + place(invalid.Field))
		}
		return dcb.ErrInvalid.Error()
	}
}

// place returns the path to a field as far as it is made of names of ours and of numbers: a key of somebody's metadata ends it.
func place(field string) string {
	end := 0
	for word := range strings.FieldsFuncSeq(field, func(r rune) bool { return strings.ContainsRune(".[]", r) }) {
		number := strings.Trim(word, "0123456789") == ""
		if !number && !known[word] {
			break
		}
		end += strings.Index(field[end:], word) + len(word)
	}
	if end < len(field) && field[end] == ']' {
		end++
	}
	return field[:end]
}

// known are the words that the path to a field is made of.
var known = map[string]bool{
	"events": true, "Type": true, "Tags": true, "Data": true, "Metadata": true, "ID": true,
	"condition": true, "FailIfEventsMatch": true, "query": true, "Types": true,
	"options": true, "Limit": true, "After": true, "Before": true, "Backwards": true,
	// As they are called on the wires.
	"event_type": true, "type": true, "tags": true, "data": true, "dataBase64": true, "metadata": true, "uuid": true, "id": true,
	"fail_if_events_match": true, "failIfEventsMatch": true, "after": true, "before": true, "items": true, "types": true,
	"limit": true, "start": true, "from": true, "backwards": true, "subscribe": true, "batch_size": true, "tracking_info": true,
}
