package dcbnet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/pgtest"
	"github.com/dcbstore/dcb/internal/race"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/pgstore"
)

// testPatience bounds everything that should happen soon. It is reached only when something is
// broken, however loaded the machine is.
const testPatience = 2 * time.Minute

const anyPort = "127.0.0.1:0"

// served is a server under test, and how to reach it.
type served struct {
	*Server
	opts    *ClientOptions
	address string
	done    chan error // the result of Serve
}

// serveOn serves a store on a listener until the end of the test.
func serveOn(tb testing.TB, store dcb.Store, opts *ServerOptions, listener net.Listener) *served {
	tb.Helper()
	var patient ServerOptions
	if opts != nil {
		patient = *opts
	}
	patient.closeTime = testPatience
	if patient.keepalive == 0 {
		patient.keepalive = testPatience // peers send no pings
	}
	server, err := NewServer(store, &patient)
	if err != nil {
		tb.Fatal(err)
	}
	s := &served{
		Server: server, opts: &ClientOptions{RetryFor: testPatience, connectTime: testPatience},
		address: listener.Addr().String(), done: make(chan error, 1),
	}
	go func() { s.done <- server.Serve(listener) }()
	tb.Cleanup(func() {
		server.Close()
		if err := <-s.done; err != nil {
			tb.Error(err)
		}
		s.done <- nil
	})
	return s
}

// serve serves a store on a listener in memory.
func serve(tb testing.TB, store dcb.Store, opts *ServerOptions) *served {
	tb.Helper()
	listener := newPipeListener()
	s := serveOn(tb, store, opts, listener)
	s.opts.Dial = listener.dial
	return s
}

// pipeListener accepts connections in memory, which tests in a synctest bubble need.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipeListener() *pipeListener {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

func (l *pipeListener) dial(ctx context.Context, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *pipeListener) Close() error {
	l.close()
	return nil
}

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// serveTCP serves a store on a TCP port.
func serveTCP(tb testing.TB, store dcb.Store, opts *ServerOptions) *served {
	tb.Helper()
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		tb.Fatal(err)
	}
	return serveOn(tb, store, opts, listener)
}

// serveTLS serves a store on a TCP port with TLS. The client options trust its certificate.
func serveTLS(tb testing.TB, store dcb.Store) *served {
	tb.Helper()
	certificate, trust := newCertificate(tb)
	s := serveTCP(tb, store, &ServerOptions{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}}) //nolint:gosec // Go's default minimum
	s.opts.TLS = &tls.Config{RootCAs: trust}                                                                 //nolint:gosec // Go's default minimum
	return s
}

// serveUNIX serves a store on a UNIX socket.
func serveUNIX(tb testing.TB, store dcb.Store) *served {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	s := serveOn(tb, store, nil, listener)
	s.address = "unix:" + path
	return s
}

// newCertificate returns a certificate for localhost and 127.0.0.1, and a pool with its
// authority.
func newCertificate(tb testing.TB) (tls.Certificate, *x509.CertPool) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// dial returns a client of s, which is closed at the end of the test.
func (s *served) dial(tb testing.TB, change ...func(o *ClientOptions)) *Client {
	tb.Helper()
	opts := *s.opts
	for _, c := range change {
		c(&opts)
	}
	client, err := Dial(tb.Context(), s.address, &opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

func withKey(key string) func(o *ClientOptions) { return func(o *ClientOptions) { o.Key = key } }

// peer is the client's side of a connection without this package's client, for what that never
// does.
type peer struct{ *messageConn }

// peer returns a connection to s on which nothing was sent.
func (s *served) peer(tb testing.TB) *peer {
	tb.Helper()
	opts, err := s.opts.withDefaults()
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := opts.Dial(tb.Context(), s.address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testPatience)); err != nil {
		tb.Fatal(err)
	}
	return &peer{newMessageConn(conn, 64<<20)}
}

// greetedPeer is peer after Hello and Welcome.
func (s *served) greetedPeer(tb testing.TB) *peer {
	tb.Helper()
	p := s.peer(tb)
	p.request(tb, request{id: 1, kind: helloRequest, hello: hello{version: protocolVersion}})
	if got := p.responses(tb); got[0].kind != welcomeResponse {
		tb.Fatalf("the response to Hello is %+v", got)
	}
	return p
}

// messageOf returns requests as one message.
func messageOf(requests ...request) []byte {
	b := make([]byte, headerBytes)
	for i := range requests {
		b = requests[i].append(b)
	}
	return b
}

// request sends requests as one message.
func (p *peer) request(tb testing.TB, requests ...request) {
	tb.Helper()
	b := messageOf(requests...)
	if err := p.send(&b); err != nil {
		tb.Fatal(err)
	}
}

// responses returns the responses of the next message.
func (p *peer) responses(tb testing.TB) (all []response) {
	tb.Helper()
	message, err := p.receive()
	if err != nil {
		tb.Fatal(err)
	}
	if err := readResponses(message, func(a *response) { all = append(all, *a) }); err != nil {
		tb.Fatal(err)
	}
	return all
}

// goodbye reads to the end of the connection, and returns its last response.
func (p *peer) goodbye(tb testing.TB) (last response) {
	tb.Helper()
	for {
		message, err := p.receive()
		if err != nil {
			return last
		}
		if err := readResponses(message, func(a *response) { last = *a }); err != nil {
			tb.Fatal(err)
		}
	}
}

// eventually waits until holds returns true.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for end := time.Now().Add(testPatience); !holds(); {
		if time.Now().After(end) {
			tb.Fatalf("after %v it is still not the case that %s", testPatience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// fill appends n events, one at a time.
func fill(tb testing.TB, store dcb.Store, n int) {
	tb.Helper()
	for range n {
		if _, err := store.Append(tb.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil {
			tb.Fatal(err)
		}
	}
}

// tenEvents returns ten events with data of size bytes each.
func tenEvents(size int) []dcb.Event {
	events := make([]dcb.Event, 10)
	for i := range events {
		events[i] = dcb.Event{Type: "T", Data: make([]byte, size)}
	}
	return events
}

func openDisk(tb testing.TB) dcb.Store {
	tb.Helper()
	s, err := diskstore.Open(tb.TempDir(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func openPostgres(tb testing.TB) dcb.Store {
	tb.Helper()
	s, err := pgstore.Open(tb.Context(), pgtest.DSN(tb), &pgstore.Options{Schema: pgtest.Schema(tb)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// handle is a client as a store of the kit, which opens a second client of the same server.
type handle struct {
	*Client
	server *served
}

func suite(open func(tb testing.TB) *served) dcbtest.Suite {
	return dcbtest.Suite{
		Timeout:      5 * testPatience, // some cases make thousands of calls
		WithoutLarge: race.Enabled,
		Open: func(tb testing.TB) dcb.Store {
			server := open(tb)
			return &handle{server.dial(tb), server}
		},
		Second: func(tb testing.TB, s dcb.Store) dcb.Store {
			server := s.(*handle).server //nolint:forcetypeassert // made by Open
			return &handle{server.dial(tb), server}
		},
	}
}

func TestClientKeepsTheContractOfMemory(t *testing.T) {
	t.Parallel()
	suite(func(tb testing.TB) *served { return serve(tb, memstore.New(nil), nil) }).Run(t)
}

func TestClientKeepsTheContractOfADirectoryOverTLS(t *testing.T) {
	t.Parallel()
	suite(func(tb testing.TB) *served { return serveTLS(tb, openDisk(tb)) }).Run(t)
}

func TestClientKeepsTheContractOfPostgreSQLOverAUNIXSocket(t *testing.T) {
	t.Parallel()
	suite(func(tb testing.TB) *served { return serveUNIX(tb, openPostgres(tb)) }).Run(t)
}

// Callers share two clients of one server.
func TestClientHistoriesAreCorrect(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server func(t *testing.T) *served
		steps  int
	}{
		"memory over TCP":      {func(t *testing.T) *served { return serveTCP(t, memstore.New(nil), nil) }, 60},
		"directory over TLS":   {func(t *testing.T) *served { return serveTLS(t, openDisk(t)) }, 60},
		"PostgreSQL over UNIX": {func(t *testing.T) *served { return serveUNIX(t, openPostgres(t)) }, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := c.server(t)
			a, b := server.dial(t), server.dial(t)
			h, err := history.Workload{Handles: []dcb.Store{a, b}, Steps: c.steps, HangTimeout: testPatience}.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Verify(t.Context(), a); err != nil {
				t.Error(err)
			}
		})
	}
}
