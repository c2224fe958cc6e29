package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

// figures returns our metrics by name and labels. The value of a histogram is its count.
func figures(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += "," + label.GetValue()
			}
			switch {
			case metric.Counter != nil:
				found[name] = metric.GetCounter().GetValue()
			case metric.Gauge != nil:
				found[name] = metric.GetGauge().GetValue()
			case metric.Histogram != nil:
				found[name] = float64(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	return found
}

func want(t *testing.T, m *Metrics, figure map[string]float64) {
	t.Helper()
	found := figures(t, m)
	for name, value := range figure {
		got, ok := found[name]
		if !ok {
			t.Errorf("there is no metric %s", name)
		} else if got != value {
			t.Errorf("%s is %v; want %v", name, got, value)
		}
	}
}

func event(tag string) []dcb.Event { return []dcb.Event{{Type: "T", Tags: []string{tag}}} }

func appendTo(t *testing.T, s dcb.Store, events []dcb.Event) {
	t.Helper()
	if _, err := s.Append(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
}

func TestStoreCountsItsCalls(t *testing.T) {
	t.Parallel()
	m := New(Build{})
	s := m.Store(memstore.New(nil), nil)
	appendTo(t, s, append(event("a"), event("b")...))
	appendTo(t, s, event("a"))
	all := dcb.AppendCondition{FailIfEventsMatch: dcb.All()}
	if _, err := s.Append(t.Context(), event("a"), &all); !errors.Is(err, dcb.ErrConflict) {
		t.Fatalf("%v; want a conflict", err)
	}
	if _, err := s.Append(t.Context(), nil, nil); !errors.Is(err, dcb.ErrNoEvents) {
		t.Fatalf("%v; want that there are no events", err)
	}
	if _, err := s.Read(t.Context(), dcb.All(), dcb.ReadOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, err := range dcb.Stream(t.Context(), s, dcb.All(), dcb.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range dcb.Stream(t.Context(), s, nil, dcb.ReadOptions{}) {
		if !errors.Is(err, dcb.ErrInvalidQuery) {
			t.Error(err)
		}
	}
	for _, err := range dcb.Stream(t.Context(), s, dcb.All(), dcb.ReadOptions{}) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	want(t, m, map[string]float64{
		"dcb_appends_total": 2, "dcb_events_appended_total": 3, "dcb_append_conflicts_total": 1, "dcb_append_duration_seconds": 4,
		"dcb_reads_total": 3, "dcb_events_read_total": 7, "dcb_read_duration_seconds": 4,
		"dcb_store_errors_total,no-events,append": 1, "dcb_store_errors_total,invalid-query,stream": 1, "dcb_store_errors_total,corrupt,append": 0,
		"dcb_head_position": 3, "dcb_store_up": 1, "dcb_followers": 0, "dcb_waiters": 0,
	})
}

func TestFollowersCollectReportsAStoreThatIsDown(t *testing.T) {
	t.Parallel()
	inner := memstore.New(nil)
	m := New(Build{})
	m.Store(inner, nil)
	if err := inner.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, m, map[string]float64{"dcb_store_up": 0, "dcb_followers": 0})
	if _, ok := figures(t, m)["dcb_head_position"]; ok {
		t.Error("there is a head, which nobody knows")
	}
}

func TestFollowersCollectReportsTheLag(t *testing.T) {
	t.Parallel()
	m := New(Build{})
	s := m.Store(memstore.New(nil), nil)
	now := time.Unix(1_000, 0)
	s.followers.now = func() time.Time { return now }
	for range 5 {
		appendTo(t, s, event("a"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	taken := make(chan dcb.ReadResult)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for batch, err := range wire.Follow(ctx, s, dcb.All(), 3) {
			if err != nil {
				return
			}
			taken <- batch
		}
	}()
	// A second follower waits before it takes its batch.
	stuck, release := make(chan struct{}), make(chan struct{})
	left := make(chan struct{})
	go func() {
		defer close(left)
		for _, err := range wire.Follow(ctx, s, dcb.All(), 0) {
			if err != nil {
				t.Error(err)
			}
			close(stuck)
			<-release
			return
		}
	}()
	<-taken
	<-stuck
	appendTo(t, s, event("a"))
	<-taken // so the first is beyond position 5
	want(t, m, map[string]float64{"dcb_followers": 2, "dcb_follower_lag_max_events": 6, "dcb_head_position": 6, "dcb_follower_stall_max_seconds": 0})
	now = now.Add(90 * time.Second)
	want(t, m, map[string]float64{"dcb_follower_lag_max_events": 6, "dcb_follower_stall_max_seconds": 90})
	close(release)
	<-left
	cancel()
	<-ended
	want(t, m, map[string]float64{"dcb_followers": 0, "dcb_followers_behind": 0, "dcb_follower_lag_max_events": 0, "dcb_follower_stall_max_seconds": 0})
}

func TestFollowersLagOfAMovingFollower(t *testing.T) {
	t.Parallel()
	f := newFollowers(nil)
	now := time.Unix(1_000, 0)
	f.now = func() time.Time { return now }
	one := f.enter(0)
	for i := range uint64(5) {
		one.position.Store(i)
		if s := f.lag(100); s.longest != 0 || s.furthest != 100-i || s.behind != 1 {
			t.Errorf("%+v at %d", s, i)
		}
		now = now.Add(time.Minute)
	}
	one.position.Store(100)
	if s := f.lag(100); s.longest != 0 || s.behind != 0 {
		t.Errorf("%+v of one who is not behind", s)
	}
	now = now.Add(time.Hour)
	if s := f.lag(101); s.longest != 0 || s.behind != 1 {
		t.Errorf("%+v of one who had nothing to do for an hour and has now", s)
	}
}

func TestDiskCollect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := diskstore.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	m := New(Build{})
	m.Disk(store, dir)
	appendTo(t, store, event("a"))
	want(t, m, map[string]float64{
		"dcb_disk_group_appends": 1, "dcb_disk_group_duration_seconds": 1,
		"dcb_disk_files,log": 1, "dcb_disk_files,index": 0, "dcb_disk_rebuilds_total": 0,
	})
	found := figures(t, m)
	for _, name := range []string{"dcb_disk_syncs_total", "dcb_disk_sync_duration_seconds", "dcb_disk_bytes,log"} {
		if found[name] <= 0 {
			t.Errorf("%s is %v", name, found[name])
		}
	}
	free, size, ok := fileSystem(dir)
	if ok && (free <= 0 || size < free) {
		t.Errorf("%d of %d bytes are free", free, size)
	}
}

func TestMeasureSumsFilesByKind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, bytes := range map[string]int{"1.log": 10, "2.log": 5, "1-2.index": 7, "1.tmp": 1} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, bytes), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sizes := measure(dir)
	for kind, want := range map[string]size{"log": {2, 15}, "index": {1, 7}, "other": {1, 1}} {
		if sizes[kind] != want {
			t.Errorf("%s: %+v; want %+v", kind, sizes[kind], want)
		}
	}
}

type counted diskstore.Metrics

func (c counted) Metrics() diskstore.Metrics { return diskstore.Metrics(c) }

func TestDurationsAndSizesConvertHistograms(t *testing.T) {
	t.Parallel()
	var c counted
	last := len(c.SyncTime.Counts) - 1
	c.SyncTime.Counts[0], c.SyncTime.Counts[3], c.SyncTime.Counts[last] = 2, 3, 4
	c.SyncTime.Sum = 1500 * time.Millisecond
	registry := prometheus.NewRegistry()
	registry.MustRegister(newDisk(c, t.TempDir()))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "dcb_disk_sync_duration_seconds" {
			continue
		}
		h := family.GetMetric()[0].GetHistogram()
		if h.GetSampleCount() != 9 || h.GetSampleSum() != 1.5 || len(h.GetBucket()) != last {
			t.Errorf("%d samples, sum %v, %d buckets", h.GetSampleCount(), h.GetSampleSum(), len(h.GetBucket()))
		}
		for bound, want := range map[float64]uint64{1e-6: 2, 4e-6: 2, 8e-6: 5} {
			for _, b := range h.GetBucket() {
				if b.GetUpperBound() == bound && b.GetCumulativeCount() != want {
					t.Errorf("%d are at most %v; want %d", b.GetCumulativeCount(), bound, want)
				}
			}
		}
		return
	}
	t.Error("there is no such histogram")
}

// full returns metrics with all parts.
func full(t *testing.T) *Metrics {
	t.Helper()
	dir := t.TempDir()
	store, err := diskstore.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	m := New(Build{Version: "v1.0.0", Commit: "abc"})
	m.Store(store, nil)
	m.Disk(store, dir)
	m.Certificate(func() time.Time { return time.Unix(1, 0) })
	m.Calls(slog.New(slog.DiscardHandler), nil).Done(t.Context(), wire.Call{Protocol: "http", Method: "/read"})
	m.Listener("http", nil)
	m.Reloaded(nil)
	return m
}

func TestMetricsFollowTheNamingRulesOfPrometheus(t *testing.T) {
	t.Parallel()
	families, err := full(t).Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "dcb_") {
			continue
		}
		ours++
		if family.GetHelp() == "" {
			t.Errorf("%s has no help", family.GetName())
		}
	}
	if ours < 30 {
		t.Errorf("there are %d metrics of ours", ours)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestHandlerAnswersAScrape(t *testing.T) {
	t.Parallel()
	answer := httptest.NewRecorder()
	full(t).Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	body := answer.Body.String()
	for _, want := range []string{
		`dcb_build_info{commit="abc",goversion="go`, "dcb_appends_total 0", `dcb_append_duration_seconds_bucket{le="5e-05"} 0`,
		`dcb_calls_total{code="ok",method="/read",wire="http"} 1`, "go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("there is no %s in\n%s", want, body)
		}
	}
}

func TestListenerCountsConnectionsUntilTheyAreClosed(t *testing.T) {
	t.Parallel()
	m := New(Build{})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := m.Listener("grpc", inner)
	defer l.Close()
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	want(t, m, map[string]float64{"dcb_connections,grpc": 1, "dcb_connections_accepted_total,grpc": 1})
	for range 2 {
		_ = conn.Close() // the second is an error
	}
	want(t, m, map[string]float64{"dcb_connections,grpc": 0, "dcb_connections_accepted_total,grpc": 1})
}

func TestReloadedReportsAFailureUntilASuccess(t *testing.T) {
	t.Parallel()
	m := New(Build{})
	m.Reloaded(errors.New("no"))
	want(t, m, map[string]float64{"dcb_config_last_reload_successful": 0, "dcb_config_reloads_total,error": 1})
	m.Reloaded(nil)
	want(t, m, map[string]float64{"dcb_config_last_reload_successful": 1, "dcb_config_reloads_total,ok": 1})
}

// nothing is a store that does nothing.
type nothing struct{ dcb.Store }

func (nothing) Append(context.Context, []dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
	return 1, nil
}

func (nothing) Read(context.Context, dcb.Query, dcb.ReadOptions) (dcb.ReadResult, error) {
	return dcb.ReadResult{}, nil
}

func BenchmarkStore(b *testing.B) {
	s := New(Build{}).Store(nothing{}, nil)
	ctx, events := b.Context(), event("a")
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = s.Append(ctx, events, nil)
		}
	})
	b.Run("append by many", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, _ = s.Append(ctx, events, nil)
			}
		})
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = s.Read(ctx, dcb.All(), dcb.ReadOptions{})
		}
	})
	b.Run("call", func(b *testing.B) {
		b.ReportAllocs()
		c := New(Build{}).Calls(slog.New(slog.DiscardHandler), nil)
		for i := range 20 {
			c.Done(ctx, wire.Call{Protocol: "dcbnet", Method: fmt.Sprint(i)})
		}
		for b.Loop() {
			c.Done(ctx, wire.Call{Protocol: "dcbnet", Method: "append", Duration: time.Millisecond})
		}
	})
}
