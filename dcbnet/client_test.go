package dcbnet

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// cutAtOnce is a store whose connection is cut when a Wait begins.
type cutAtOnce struct {
	dcb.Store
	cut func()
}

func (s cutAtOnce) Wait(ctx context.Context, _ dcb.Position) (dcb.Position, error) {
	s.cut()
	<-ctx.Done()
	return 0, ctx.Err()
}

// The time for making a connection is not time that a Wait spent on the server.
func TestWaitEndsWhenSlowConnectionsAreLostAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last atomic.Pointer[net.Conn]
		cut := func() { _ = (*last.Load()).Close() }
		server := serve(t, cutAtOnce{memstore.New(nil), cut}, nil)
		dial := server.opts.Dial
		isSlow := false // set before there are other goroutines
		client := server.dial(t, func(o *ClientOptions) {
			o.RetryFor = 300 * time.Millisecond
			o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				if isSlow {
					time.Sleep(reachedAfter + 100*time.Millisecond)
				}
				conn, err := dial(ctx, address)
				if err == nil {
					last.Store(&conn)
				}
				return conn, err
			}
		})
		isSlow = true
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		if _, err := client.Wait(ctx, 0); !errors.Is(err, dcb.ErrUnavailable) {
			t.Errorf("Wait = %v, want ErrUnavailable", err)
		}
	})
}

func TestDialOfAnotherProtocol(t *testing.T) {
	t.Parallel()
	plain := serveTCP(t, memstore.New(nil), nil)
	secure := serveTLS(t, memstore.New(nil))
	untrusting := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the handshake must succeed
	respond := func(text string) string { return foreignServer(t, text) }
	for name, c := range map[string]struct {
		address string
		tls     *tls.Config
		want    string
	}{
		"HTTP":               {respond("HTTP/1.1 400 Bad Request\r\n\r\n"), nil, "but HTTP; is this the port of another protocol?"},
		"gRPC":               {respond("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00"), nil, "but HTTP/2 (gRPC)"},
		"another protocol":   {respond("220 mail.example.com ESMTP"), nil, "does not speak dcb's protocol; is this the port of another protocol?"},
		"plaintext to TLS":   {secure.address, nil, "this port expects TLS"},
		"TLS to plaintext":   {plain.address, secure.opts.TLS, "does not use TLS on this port"},
		"untrusted TLS":      {secure.address, &tls.Config{}, "certificate"}, //nolint:gosec // Go's default minimum
		"TLS to plain HTTP":  {respond("HTTP/1.1 400 Bad Request\r\n\r\n"), secure.opts.TLS, "does not use TLS on this port"},
		"TLS of other ports": {foreignTLS(t, "h2"), untrusting, "no application protocol"},
		"TLS without ALPN":   {foreignTLS(t), untrusting, "does not speak dcb's protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Dial(t.Context(), c.address, &ClientOptions{TLS: c.tls, connectTime: testPatience})
			if err == nil || dcb.Retryable(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Dial = %v, want an error with %q that is not retryable", err, c.want)
			}
		})
	}
}

// foreignServer accepts connections, and answers the first bytes of each with text.
func foreignServer(t *testing.T, text string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go acceptAll(listener, func(conn net.Conn) {
		if _, err := conn.Read(make([]byte, 4096)); err == nil {
			_, _ = io.WriteString(conn, text)
			_, _ = io.Copy(io.Discard, conn)
		}
	})
	return listener.Addr().String()
}

// foreignTLS accepts TLS connections with other protocols, and closes them after the handshake.
func foreignTLS(t *testing.T, protocols ...string) (address string) {
	t.Helper()
	certificate, _ := newCertificate(t)
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: protocols} //nolint:gosec // Go's default minimum
	go acceptAll(listener, func(conn net.Conn) { _ = tls.Server(conn, config).HandshakeContext(context.Background()) })
	return listener.Addr().String()
}

func acceptAll(listener net.Listener, serve func(conn net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			serve(conn)
		}()
	}
}

func TestServerWithTLS(t *testing.T) {
	t.Parallel()
	server := serveTLS(t, memstore.New(nil))
	client := server.dial(t)
	if err := clientCalls["Append"](t.Context(), client); err != nil {
		t.Errorf("Append = %v", err)
	}
	state := client.conns[0].conn.Conn.(*tls.Conn).ConnectionState() //nolint:forcetypeassert // the options have TLS
	if state.NegotiatedProtocol != ALPN || state.Version < tls.VersionTLS12 {
		t.Errorf("protocol %q, version %x; want %q and TLS 1.2 at least", state.NegotiatedProtocol, state.Version, ALPN)
	}
	old := server.opts.TLS.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	_, err := Dial(t.Context(), server.address, &ClientOptions{TLS: old, connectTime: testPatience})
	if err == nil || dcb.Retryable(err) || !strings.Contains(err.Error(), "version") {
		t.Errorf("Dial with TLS 1.1 = %v, want that the version is refused", err)
	}
}

func TestServerWithMutualTLS(t *testing.T) {
	t.Parallel()
	certificate, trust := newCertificate(t)
	server := serveTCP(t, memstore.New(nil), &ServerOptions{TLS: &tls.Config{ //nolint:gosec // Go's default minimum
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trust,
	}})
	config := &tls.Config{RootCAs: trust} //nolint:gosec // Go's default minimum
	_, err := Dial(t.Context(), server.address, &ClientOptions{TLS: config, connectTime: testPatience})
	if err == nil || dcb.Retryable(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Dial without a certificate = %v, want an error that is not retryable", err)
	}
	config = config.Clone()
	config.Certificates = []tls.Certificate{certificate}
	client := server.dial(t, func(o *ClientOptions) { o.TLS = config })
	if err := clientCalls["Append"](t.Context(), client); err != nil {
		t.Errorf("Append with a certificate = %v", err)
	}
}

func TestDialOfSeveralHostsTriesTheNext(t *testing.T) {
	t.Parallel()
	const nothing = "127.0.0.1:1"
	store := memstore.New(nil)
	a, b := serveTCP(t, store, nil), serveTCP(t, store, nil)
	opts := &ClientOptions{RetryFor: testPatience, connectTime: testPatience}
	client, err := Dial(t.Context(), nothing+","+a.address+","+b.address, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	append1 := func() {
		t.Helper()
		if err := clientCalls["Append"](t.Context(), client); err != nil {
			t.Errorf("Append = %v", err)
		}
	}
	append1()
	if got := client.conns[0].address; got != a.address {
		t.Errorf("the connection goes to %s, want %s", got, a.address)
	}
	if err := a.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	append1()
	if got := client.conns[0].address; got != b.address {
		t.Errorf("after the first server stopped the connection goes to %s, want %s", got, b.address)
	}
	b.Close()
	opts.RetryFor = time.Millisecond
	if _, err := Dial(t.Context(), nothing+","+b.address, opts); !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("Dial of servers that are gone = %v, want ErrUnavailable", err)
	}
	if _, err := Dial(t.Context(), "a:1,,b:1", opts); err == nil || !strings.Contains(err.Error(), "empty address") {
		t.Errorf("Dial of an empty address = %v", err)
	}
}

// unavailableStore is a store that cannot be reached.
type unavailableStore struct{ dcb.Store }

func (unavailableStore) Append(context.Context, []dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
	return 0, unavailable(errors.New("test"))
}

func (unavailableStore) Read(context.Context, dcb.Query, dcb.ReadOptions) (dcb.ReadResult, error) {
	return dcb.ReadResult{}, unavailable(errors.New("test"))
}

func TestClientOfSeveralHostsLeavesAnUnavailableServer(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Append", "Read", "Stream"} {
		store := memstore.New(nil)
		a, b := serveTCP(t, unavailableStore{store}, nil), serveTCP(t, store, nil)
		client, err := Dial(t.Context(), a.address+","+b.address, &ClientOptions{RetryFor: testPatience, connectTime: testPatience})
		if err != nil {
			t.Fatal(err)
		}
		first := client.conns[0]
		if err := clientCalls[name](t.Context(), client); err != nil {
			t.Errorf("%s = %v, want the result of the second server", name, err)
		}
		<-first.done // closed, because no call uses it
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
	alone := serveTCP(t, unavailableStore{memstore.New(nil)}, nil).dial(t)
	if err := clientCalls["Append"](t.Context(), alone); !dcb.Retryable(err) || isOutcomeUnknown(err) {
		t.Errorf("Append on the only server = %v, want ErrUnavailable at once", err)
	}
}
