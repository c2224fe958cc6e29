package observe

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

func inMemory(t *testing.T) (*Traces, *tracetest.InMemoryExporter) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	traces := NewTraces(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)))
	t.Cleanup(func() { _ = traces.Shutdown(t.Context()) })
	return traces, exporter
}

func TestStoreMakesSpansWithCountsAndPositionsOnly(t *testing.T) {
	t.Parallel()
	traces, exporter := inMemory(t)
	s := New(Build{}).Store(memstore.New(nil), traces.Tracer())
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := traces.Traceparent(t.Context(), parent)
	const secret = "ann@example.com"
	tagged := dcb.Query{{Types: []string{secret}, Tags: []string{secret}}}
	if _, err := s.Append(ctx, []dcb.Event{{Type: secret, Tags: []string{secret}, Data: []byte(secret)}}, nil); err != nil {
		t.Fatal(err)
	}
	_, conflict := s.Append(ctx, event("a"), &dcb.AppendCondition{FailIfEventsMatch: tagged})
	_, invalid := s.Append(ctx, []dcb.Event{{Type: "T", Tags: []string{strings.Repeat(secret, 100)}}}, nil)
	if !errors.Is(conflict, dcb.ErrConflict) || !errors.Is(invalid, dcb.ErrInvalid) {
		t.Fatal(conflict, invalid)
	}
	_, _ = s.Read(ctx, tagged, dcb.ReadOptions{Limit: 5})
	_, _ = s.Head(ctx)
	_, _ = s.Wait(ctx, 0)
	for _, err := range dcb.Stream(ctx, s, tagged, dcb.ReadOptions{}) {
		if err != nil {
			t.Error(err)
		}
	}
	for _, err := range wire.Follow(ctx, s, tagged, 0) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	var spans []string
	for _, span := range exporter.GetSpans() {
		text := span.Name
		for _, a := range span.Attributes {
			text += fmt.Sprintf(" %s=%s", a.Key, a.Value.String())
		}
		spans = append(spans, text)
		if strings.Contains(fmt.Sprintf("%+v", span), secret) {
			t.Errorf("somebody's data is in %+v", span)
		}
		if got := span.Parent.TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("%s is of trace %s", span.Name, got)
		}
		if fault := span.Status.Code == codes.Error; fault != strings.Contains(text, "code=invalid") {
			t.Errorf("%s: status %v", text, span.Status)
		}
	}
	want := []string{
		"store.append dcb.events=1 dcb.condition=false dcb.position=1",
		"store.append dcb.events=1 dcb.condition=true dcb.items=1 dcb.after=0 dcb.conflicting_position=1 dcb.code=conflict",
		"store.append dcb.events=1 dcb.condition=false dcb.code=invalid",
		"store.read dcb.items=1 dcb.after=0 dcb.before=0 dcb.limit=5 dcb.backwards=false dcb.events=1 dcb.head=1",
		"store.head dcb.head=1",
		"store.wait dcb.after=0 dcb.head=1",
		"store.stream dcb.items=1 dcb.after=0 dcb.before=0 dcb.limit=0 dcb.backwards=false dcb.events=1",
		"store.read dcb.items=1 dcb.after=0 dcb.before=0 dcb.limit=64 dcb.backwards=false dcb.events=1 dcb.head=1",
	}
	if got := strings.Join(spans, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func TestHTTPMakesSpansWithoutTheQuery(t *testing.T) {
	t.Parallel()
	traces, exporter := inMemory(t)
	var inside trace.SpanContext
	handler := traces.HTTP(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = trace.SpanContextFromContext(r.Context()) }))
	for _, path := range []string{"/read?query=ann%40example.com", "/healthz", "/readyz", "/metrics"} {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
	}
	spans := exporter.GetSpans()
	if len(spans) != 1 {
		t.Fatalf("%d spans; want one", len(spans))
	}
	if text := fmt.Sprintf("%+v", spans[0]); strings.Contains(text, "ann") {
		t.Errorf("the query is in %s", text)
	}
	if inside.IsValid() {
		t.Errorf("the last call, which is no span, has %v", inside)
	}
}

func TestDoneMakesASpanOfTheCallersTrace(t *testing.T) {
	t.Parallel()
	traces, exporter := inMemory(t)
	c := New(Build{}).Calls(slog.New(slog.DiscardHandler), traces.Tracer())
	ctx := traces.Traceparent(t.Context(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	c.Done(ctx, wire.Call{Protocol: "dcbnet", Method: "Append", Duration: time.Hour})
	c.Done(ctx, wire.Call{Protocol: "http", Method: "/append"}) // which has one already
	spans := exporter.GetSpans()
	if len(spans) != 1 {
		t.Fatalf("%d spans; want one", len(spans))
	}
	span := spans[0]
	if span.Name != "dcbnet/Append" || span.Parent.SpanID().String() != "b7ad6b7169203331" || span.EndTime.Sub(span.StartTime) < time.Hour {
		t.Errorf("%+v", span)
	}
}

// environment returns a getenv.
func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestTracesFromEnvIsOffByDefault(t *testing.T) {
	t.Parallel()
	for _, variables := range []map[string]string{
		{},
		{"OTEL_SERVICE_NAME": "x"},
		{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
		{"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
	} {
		traces, err := TracesFromEnv(t.Context(), environment(variables), Build{}, slog.New(slog.DiscardHandler))
		if err != nil || traces != nil {
			t.Errorf("%v: %v, %v", variables, traces, err)
		}
		if traces.Tracer() != nil || traces.GRPC() != nil || traces.Shutdown(t.Context()) != nil || traces.Traceparent(t.Context(), "x") != t.Context() {
			t.Error("no traces do something")
		}
	}
}

func TestTracesFromEnvNamesAWrongVariable(t *testing.T) {
	t.Parallel()
	for _, variables := range []map[string]string{
		{"OTEL_TRACES_EXPORTER": "zipkin"},
		{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
	} {
		_, err := TracesFromEnv(t.Context(), environment(variables), Build{}, slog.New(slog.DiscardHandler))
		if !errors.Is(err, ErrTraces) {
			t.Errorf("%v: %v", variables, err)
		}
	}
}

// This is not parallel: the exporter reads the environment of the process itself.
func TestTracesReachACollectorOverHTTP(t *testing.T) {
	received := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "120000") // ms
	t.Setenv("OTEL_SERVICE_NAME", "school-events")
	traces, err := TracesFromEnv(t.Context(), os.Getenv, Build{Version: "v9"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, New(Build{}).Store(memstore.New(nil), traces.Tracer()), event("a"))
	if err := traces.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-received:
		for _, want := range []string{"/v1/traces ", "store.append", "school-events", "dcb.position", "v9"} {
			if !strings.Contains(got, want) {
				t.Errorf("there is no %q in %q", want, got)
			}
		}
	default:
		t.Error("nothing came")
	}
}

func TestTracesFromEnvUsesTheSampler(t *testing.T) {
	received := make(chan struct{}, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { received <- struct{}{} }))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	traces, err := TracesFromEnv(t.Context(), os.Getenv, Build{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, New(Build{}).Store(memstore.New(nil), traces.Tracer()), event("a"))
	if err := traces.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(received) > 0 {
		t.Error("a span was sent")
	}
}
