package observe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
)

func TestDoneCountsCallsByCode(t *testing.T) {
	t.Parallel()
	m := New(Build{})
	c := m.Calls(slog.New(slog.DiscardHandler), nil)
	for _, err := range []error{nil, nil, &dcb.ConflictError{}, auth.ErrKey, errors.New("oh")} {
		c.Done(t.Context(), wire.Call{Protocol: "http", Method: "/append", Duration: time.Second, Err: err})
	}
	want(t, m, map[string]float64{
		"dcb_calls_total,ok,/append,http": 2, "dcb_calls_total,conflict,/append,http": 1, "dcb_calls_total,no-key,/append,http": 1,
		"dcb_calls_total,internal,/append,http": 1, "dcb_calls_total,corrupt,/append,http": 0, "dcb_call_duration_seconds,/append,http": 5,
	})
}

func TestDoneBoundsTheSeries(t *testing.T) {
	t.Parallel()
	m := New(Build{})
	c := m.Calls(slog.New(slog.DiscardHandler), nil)
	for i := range 10 * maxMethods {
		c.Done(t.Context(), wire.Call{Protocol: "http", Method: fmt.Sprint("/", i)})
	}
	if got := len(*c.series.Load()); got > maxMethods+1 {
		t.Errorf("%d methods have series", got)
	}
	want(t, m, map[string]float64{"dcb_calls_total,ok,other,other": 9 * maxMethods})
}

// lines returns a logger and its output.
func lines(level slog.Level) (*slog.Logger, *bytes.Buffer) {
	var output bytes.Buffer
	return slog.New(slog.NewTextHandler(&output, &slog.HandlerOptions{Level: level})), &output
}

func TestDoneLogsAFailedCallWithItsCause(t *testing.T) {
	t.Parallel()
	// Each of these errors contains a secret that a caller sent.
	const secret = "ann@example.com"
	tooLong := dcb.ValidateAppend([]dcb.Event{{Type: "T", Metadata: map[string]string{secret: strings.Repeat("x", 5000)}}}, nil)
	for _, c := range []struct {
		err         error
		level, want string
	}{
		{&dcb.ConflictError{Position: 7}, "DEBUG", "code=conflict"},
		{context.Canceled, "DEBUG", "code=canceled"},
		{context.DeadlineExceeded, "WARN", `cause="context deadline exceeded"`},
		{tooLong, "INFO", `cause="dcb: invalid argument: events[0].Metadata"`},
		{&dcb.InvalidError{Field: secret, Problem: "is unknown"}, "INFO", `cause="dcb: invalid argument:"`},
		{fmt.Errorf("dcbhttp: %s: %w", secret, &dcb.InvalidError{Field: "query.items[2].tags[11]", Problem: "has " + secret}), "INFO", "query.items[2].tags[11]"},
		{dcb.ErrNoEvents, "INFO", "code=no-events"},
		{fmt.Errorf("%w: %s", dcb.ErrDuplicateID, secret), "INFO", "code=duplicate-id"},
		{auth.ErrKey, "WARN", "code=no-key"},
		{auth.ErrPermission, "WARN", "code=no-permission"},
		{wire.ErrLimit, "WARN", "code=limit"},
		{&dcb.UnavailableError{Cause: errors.New("no route to db1")}, "ERROR", "no route to db1"},
		{&dcb.UnavailableError{OutcomeUnknown: true, Cause: errors.New("reset")}, "ERROR", "code=unknown"},
		{fmt.Errorf("segment 3: %w", dcb.ErrCorrupt), "ERROR", "segment 3"},
		{errors.New("nil map"), "ERROR", "nil map"},
	} {
		log, output := lines(slog.LevelDebug)
		New(Build{}).Calls(log, nil).Done(t.Context(), wire.Call{Protocol: "dcbnet", Method: "append", Key: "billing", Err: c.err})
		line := output.String()
		if strings.Count(line, "\n") != 1 || !strings.Contains(line, "level="+c.level+" ") || !strings.Contains(line, c.want) ||
			!strings.Contains(line, "key_name=billing") || !strings.Contains(line, "wire=dcbnet method=append") {
			t.Errorf("%v: %s", c.err, line)
		}
		if strings.Contains(line, secret) {
			t.Errorf("somebody's data is in the log: %s", line)
		}
	}
}

func TestDoneLogsNoSuccessfulCall(t *testing.T) {
	t.Parallel()
	log, output := lines(slog.LevelDebug)
	New(Build{}).Calls(log, nil).Done(t.Context(), wire.Call{Protocol: "dcbnet", Method: "append"})
	if output.Len() > 0 {
		t.Error(output.String())
	}
}

func TestDoneLimitsTheLinesPerSecond(t *testing.T) {
	t.Parallel()
	log, output := lines(slog.LevelInfo)
	c := New(Build{}).Calls(log, nil)
	now := time.Unix(1_000, 0)
	c.log.limits.now = func() time.Time { return now }
	for range 1_000 {
		c.Done(t.Context(), wire.Call{Protocol: "http", Method: "/read", Err: auth.ErrKey})
	}
	if got := strings.Count(output.String(), "\n"); got != maxLines {
		t.Errorf("%d lines; want %d", got, maxLines)
	}
	output.Reset()
	// Another kind of failure is still logged, and a later line has the number of dropped ones.
	c.Done(t.Context(), wire.Call{Protocol: "http", Method: "/read", Err: dcb.ErrCorrupt})
	now = now.Add(time.Second)
	c.Done(t.Context(), wire.Call{Protocol: "http", Method: "/read", Err: auth.ErrKey})
	if got := output.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, fmt.Sprint("not_logged_before=", 1_000-maxLines)) {
		t.Error(got)
	}
}

func TestFieldPathHasOnlyKnownNames(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"events[3].Tags[0]": "events[3].Tags[0]", "condition.FailIfEventsMatch[1].Types[2]": "condition.FailIfEventsMatch[1].Types[2]",
		`events[3].Metadata["a.b"]`: "events[3].Metadata", "query": "query", "": "", "hans": "", "events[0].hans.Tags": "events[0]",
	} {
		if got := fieldPath(field); got != want {
			t.Errorf("%s becomes %q; want %q", field, got, want)
		}
	}
}

func TestCalmLimitsTheLinesPerSecond(t *testing.T) {
	t.Parallel()
	log, output := lines(slog.LevelInfo)
	quiet := Calm(log).With("wire", "http")
	now := time.Unix(1_000, 0)
	quiet.Handler().(*calm).limits.now = func() time.Time { return now }
	for port := range 1_000 {
		quiet.Warn(fmt.Sprintf("http: TLS handshake error from 10.0.0.1:%d: EOF", port))
	}
	if got := strings.Count(output.String(), "\n"); got != maxLines {
		t.Errorf("%d lines; want %d", got, maxLines)
	}
	output.Reset()
	quiet.Error("something else")
	if !strings.Contains(output.String(), `level=ERROR msg="something else" wire=http`) {
		t.Error(output.String())
	}
	for i := range 2 * maxKinds {
		quiet.Info(strings.Repeat("x", i))
	}
	if got := len(quiet.Handler().(*calm).limits.kinds); got > maxKinds+1 {
		t.Errorf("%d kinds have limits of their own, want at most one more than maxKinds", got)
	}
}
