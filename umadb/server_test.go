package umadb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

func TestOptionsOutOfBounds(t *testing.T) {
	t.Parallel()
	for field, opts := range map[string]*ClientOptions{
		"RetryFor": {RetryFor: -1}, "Keepalive": {Keepalive: -1}, "MessageBytes": {MessageBytes: -1},
	} {
		if _, err := Dial(t.Context(), "localhost:1", opts); err == nil || !strings.Contains(err.Error(), "umadb: ClientOptions."+field) {
			t.Errorf("Dial with a negative %s = %v", field, err)
		}
	}
	for field, opts := range map[string]*ServerOptions{"Keepalive": {Keepalive: -1}, "Limits.Calls": {Limits: Limits{Calls: -1}}} {
		if _, err := NewServer(memstore.New(nil), opts); err == nil || !strings.Contains(err.Error(), "umadb: ServerOptions."+field) {
			t.Errorf("NewServer with a negative %s = %v", field, err)
		}
	}
}

func TestDialWithoutAServer(t *testing.T) {
	t.Parallel()
	const nothing = "127.0.0.1:1" // needs a privilege to listen, unlike a port that was free a moment ago
	_, err := Dial(t.Context(), nothing, &ClientOptions{RetryFor: time.Hour})
	if !errors.Is(err, dcb.ErrUnavailable) || !strings.Contains(err.Error(), nothing) {
		t.Errorf("Dial = %v, want ErrUnavailable with the address", err)
	}
}

func TestDialRefusesAnUnknownKey(t *testing.T) {
	t.Parallel()
	const secret = "a key for appending only"
	s := serve(t, memstore.New(nil), ServerOptions{Keys: auth.NewKeys(auth.NewKey("writer", auth.Append, secret))})
	for key, want := range map[string]error{"": auth.ErrKey, secret[1:]: auth.ErrKey, secret: nil} {
		client, err := Dial(t.Context(), s.address, &ClientOptions{Dial: s.dial, Key: key, connectTime: testPatience})
		if !errors.Is(err, want) {
			t.Errorf("Dial with key %q = %v, want %v", key, err, want)
		}
		if err == nil {
			_ = client.Close()
		}
	}
}

// A health watcher learns first that a server stops, and does not delay the stop.
func TestServerShutdownReportsToHealthWatchersFirst(t *testing.T) {
	t.Parallel()
	reached, opened := make(chan struct{}), make(chan struct{})
	store := gated{memstore.New(nil), reached, opened}
	s := serve(t, store, ServerOptions{})
	watch, err := healthv1.NewHealthClient(s.conn(t)).Watch(t.Context(), &healthv1.HealthCheckRequest{Service: "umadb.v1.DCB"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("Watch = %v, %v; want SERVING", got, err)
	}
	client := s.client(t)
	appended := make(chan error)
	go func() {
		_, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil)
		appended <- err
	}()
	<-reached
	stopped := make(chan error)
	go func() { stopped <- s.server.Shutdown(t.Context()) }()
	if got, err := watch.Recv(); got.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("Watch = %v, %v; want NOT_SERVING during the append", got, err)
	}
	close(opened)
	if err := <-appended; err != nil {
		t.Errorf("Append during Shutdown = %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
}

// gated is a store whose appends wait until opened is closed.
type gated struct {
	dcb.Store
	reached, opened chan struct{}
}

func (g gated) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	g.reached <- struct{}{}
	<-g.opened
	return g.Store.Append(ctx, events, condition)
}

func TestServerShutdownCutsOffWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	s := serve(t, stuck{memstore.New(nil)}, ServerOptions{})
	ended := make(chan error)
	rpc := s.raw(t)
	go func() {
		_, err := rpc.Append(t.Context(), &umadbv1.AppendRequest{Events: []*umadbv1.Event{newEvent("T")}})
		ended <- err
	}()
	eventually(t, "the connection is open", func() bool { return s.server.grpc.GetServiceInfo() != nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	time.Sleep(20 * time.Millisecond) // so that the append is usually under way
	if err := s.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown = %v, want DeadlineExceeded", err)
	}
	if err := <-ended; err == nil {
		t.Error("the append under way succeeded")
	}
}

// RetryFor does not count the time that a Wait or a Follow spent on a server.
func TestClientWaitAndFollowContinueOnTheNextServerAfterALongTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // so that only the waiting takes time
		const retryFor = time.Second
		store := memstore.New(nil)
		var server atomic.Pointer[served]
		server.Store(serve(t, store, ServerOptions{}))
		client, err := Dial(t.Context(), "server", &ClientOptions{
			RetryFor: retryFor,
			Dial: func(ctx context.Context, address string) (net.Conn, error) {
				return server.Load().dial(ctx, address)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if _, err := client.Wait(t.Context(), 0); err != nil {
				t.Errorf("Wait = %v", err)
			}
		})
		waiting.Go(func() {
			for batch, err := range dcb.Follow(t.Context(), client, dcb.All(), 0) {
				if err != nil {
					t.Errorf("Follow = %v", err)
				}
				if err != nil || len(batch.Events) > 0 {
					return
				}
			}
		})
		for range 2 {
			time.Sleep(2 * retryFor)
			last := server.Load()
			if err := last.server.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			server.Store(serve(t, store, ServerOptions{}))
		}
		time.Sleep(2 * retryFor)
		if _, err := store.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil {
			t.Fatal(err)
		}
		waiting.Wait()
	})
}

func TestServerLimitsConnections(t *testing.T) {
	t.Parallel()
	s := serveTCP(t, memstore.New(nil), ServerOptions{Limits: Limits{Connections: 1}})
	first := s.client(t)
	opts := &ClientOptions{RetryFor: time.Millisecond, connectTime: testPatience}
	if second, err := Dial(t.Context(), s.address, opts); !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("Dial above the limit = %v, %v; want ErrUnavailable", second, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another connection is accepted", func() bool {
		client, err := Dial(t.Context(), s.address, opts)
		if err == nil {
			_ = client.Close()
		}
		return err == nil
	})
}

func TestServerWithTLS(t *testing.T) {
	t.Parallel()
	certificate, caFile := newCertificate(t)
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(pem)
	dial := func(s *served, config *tls.Config) error {
		client, err := Dial(t.Context(), s.address, &ClientOptions{TLS: config, connectTime: testPatience})
		if err == nil {
			_, err = client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil)
			_ = client.Close()
		}
		return err
	}
	plain := serveTCP(t, memstore.New(nil), ServerOptions{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}}) //nolint:gosec // Go's default minimum
	mutual := serveTCP(t, memstore.New(nil), ServerOptions{TLS: &tls.Config{                                               //nolint:gosec // Go's default minimum
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAnyClientCert,
	}})
	for name, c := range map[string]struct {
		server *served
		config *tls.Config
		works  bool
	}{
		"TLS":                {plain, &tls.Config{RootCAs: trust, ServerName: "localhost"}, true},                                                              //nolint:gosec // Go's default minimum
		"TLS 1.1":            {plain, &tls.Config{RootCAs: trust, ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false}, //nolint:gosec // tests an old version
		"untrusted":          {plain, &tls.Config{ServerName: "localhost"}, false},                                                                             //nolint:gosec // Go's default minimum
		"no TLS":             {plain, nil, false},
		"no certificate":     {mutual, &tls.Config{RootCAs: trust, ServerName: "localhost"}, false},                                              //nolint:gosec // Go's default minimum
		"client certificate": {mutual, &tls.Config{RootCAs: trust, ServerName: "localhost", Certificates: []tls.Certificate{certificate}}, true}, //nolint:gosec // Go's default minimum
	} {
		if err := dial(c.server, c.config); c.works != (err == nil) || err != nil && !errors.Is(err, dcb.ErrUnavailable) {
			t.Errorf("%s: %v; want success: %v, or ErrUnavailable", name, err, c.works)
		}
	}
}

// Some clients recognize these errors only by their texts.
func TestServerErrorTexts(t *testing.T) {
	t.Parallel()
	rpc := serve(t, memstore.New(nil), ServerOptions{}).raw(t)
	event := newEvent("T")
	event.Metadata = []*umadbv1.MetadataEntry{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}}
	trailer, err := call(t, rpc, &umadbv1.AppendRequest{Events: []*umadbv1.Event{event}})
	detail := wantError(t, err, trailer, codes.InvalidArgument, umadbv1.ErrorResponse_INVALID_ARGUMENT)
	if !strings.Contains(detail.GetMessage(), "metadata contains duplicate keys") {
		t.Errorf("the error of duplicate keys is %q", detail.GetMessage())
	}
	tracked := trackedAppend{events: []*umadbv1.Event{newEvent("T")}, source: "s", position: 5}
	if _, err := call(t, rpc, tracked.request()); err != nil {
		t.Fatal(err)
	}
	trailer, err = call(t, rpc, tracked.request())
	detail = wantError(t, err, trailer, codes.FailedPrecondition, umadbv1.ErrorResponse_INTEGRITY)
	if !strings.Contains(detail.GetMessage(), "non-increasing tracking position") {
		t.Errorf("the error of a tracking position is %q", detail.GetMessage())
	}
}

func TestMappingsContainEveryCodeOnce(t *testing.T) {
	t.Parallel()
	seen := make(map[wire.Code]bool)
	for _, m := range mappings {
		if seen[m.code] {
			t.Errorf("%s is mapped twice", m.code)
		}
		seen[m.code] = true
	}
	for _, err := range []error{
		&dcb.ConflictError{}, dcb.ErrInvalid, dcb.ErrNoEvents, dcb.ErrInvalidQuery, dcb.ErrDuplicateID, dcb.ErrClosed, dcb.ErrCorrupt,
		unavailable(errors.New("x")), outcomeUnknown(errors.New("x")), auth.ErrKey, auth.ErrPermission, wire.ErrLimit,
		wire.ErrStopping, context.Canceled, context.DeadlineExceeded, errors.New("x"),
	} {
		if !seen[wire.CodeOf(err)] {
			t.Errorf("%v with code %s is not mapped", err, wire.CodeOf(err))
		}
	}
}
