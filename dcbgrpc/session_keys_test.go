package dcbgrpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

const (
	bothSecret   = "a key for everything"
	readSecret   = "a key for reading only"
	appendSecret = "a key for appending only"
)

func allKeys() []auth.Key {
	return []auth.Key{
		auth.NewKey("both", auth.Read|auth.Append, bothSecret), auth.NewKey("reader", auth.Read, readSecret), auth.NewKey("writer", auth.Append, appendSecret),
	}
}

// sessionCalls are all methods, each as a call that ends.
var sessionCalls = map[string]func(ctx context.Context, c *Client) error{
	"Append": func(ctx context.Context, c *Client) error {
		_, err := c.Append(ctx, []dcb.Event{{Type: "T", Data: []byte("the data of an event")}}, nil)
		return err
	},
	"Head": func(ctx context.Context, c *Client) error {
		_, err := c.Head(ctx)
		return err
	},
	"Read": func(ctx context.Context, c *Client) error {
		_, err := c.Read(ctx, dcb.All(), dcb.ReadOptions{})
		return err
	},
	"Stream": func(ctx context.Context, c *Client) error {
		for _, err := range c.Stream(ctx, dcb.All(), dcb.ReadOptions{}) {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"Wait": func(ctx context.Context, c *Client) error {
		_, err := c.Wait(ctx, 0)
		return err
	},
	"Follow": func(ctx context.Context, c *Client) error {
		for _, err := range c.Follow(ctx, dcb.All(), 0) {
			return err
		}
		return nil
	},
}

func TestEachKeyMayDoWhatItsRightsSay(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	fill(t, store, 1)
	var mu sync.Mutex // guards calls
	var calls []wire.Call
	server := serve(t, store, &ServerOptions{Keys: auth.NewKeys(allKeys()...), Observe: func(_ context.Context, call wire.Call) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, call)
	}})
	for secret, may := range map[string]auth.Permission{bothSecret: auth.Read | auth.Append, readSecret: auth.Read, appendSecret: auth.Append} {
		client := server.dial(t, withKey(secret))
		for name, call := range sessionCalls {
			needed := auth.Read
			if name == "Append" {
				needed = auth.Append
			}
			err := call(t.Context(), client)
			if allowed := may&needed != 0; allowed && err != nil || !allowed && !errors.Is(err, auth.ErrPermission) {
				t.Errorf("%s with %s: %v", name, secret, err)
			}
		}
	}
	eventually(t, "every call was told of", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(calls) >= 3*len(sessionCalls)
	})
	mu.Lock()
	defer mu.Unlock()
	for _, call := range calls {
		if call.Protocol != "session" || !slices.Contains([]string{"both", "reader", "writer"}, call.Key) || strings.Contains(fmt.Sprint(call), "a key for") {
			t.Errorf("%+v", call)
		}
	}
}

func TestWithoutAKnownKeyThereIsNoSession(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), &ServerOptions{Keys: auth.NewKeys(allKeys()...)})
	for _, secret := range []string{"", "nonsense", bothSecret + "x", bothSecret[1:], "both"} {
		opts := *server.opts
		opts.Key = secret
		client, err := Dial(t.Context(), server.address, &opts)
		if !errors.Is(err, auth.ErrKey) || dcb.Retryable(err) || secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("key %q: %v, %v; want ErrKey", secret, client, err)
		}
	}
}

// A key may be taken away while its sessions are going on, and while there are none: every method notices.
func TestARevokedKeyEndsWhateverItWasUsedFor(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(ctx context.Context, c *Client) error{
		"Wait": func(ctx context.Context, c *Client) error {
			_, err := c.Wait(ctx, 1<<60)
			return err
		},
		"Follow": func(ctx context.Context, c *Client) error {
			for _, err := range c.Follow(ctx, dcb.All(), 0) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Read": sessionCalls["Read"],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys := auth.NewKeys(allKeys()...)
			var store dcb.Store = memstore.New(nil)
			if name == "Read" {
				store = stuckStore{store}
			}
			server := serve(t, store, &ServerOptions{Keys: keys})
			client := server.dial(t, withKey(bothSecret))
			done := make(chan error)
			go func() { done <- call(t.Context(), client) }()
			eventually(t, "the call is under way", func() bool { return client.underWay() > 0 })
			keys.Replace(allKeys()[1:])
			if err := <-done; !errors.Is(err, auth.ErrKey) {
				t.Errorf("it ended with %v; want ErrKey", err)
			}
			for name, call := range sessionCalls {
				if err := call(t.Context(), client); !errors.Is(err, auth.ErrKey) {
					t.Errorf("%s afterwards: %v; want ErrKey", name, err)
				}
			}
			keys.Replace(allKeys())
			if err := sessionCalls["Head"](t.Context(), client); err != nil {
				t.Errorf("when the key is back: %v", err)
			}
		})
	}
}

func (c *Client) underWay() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.links {
		l.mu.Lock()
		n += len(l.pending)
		l.mu.Unlock()
	}
	return n
}

// Whether an append was recorded that was under way when its key was taken away, nobody can say; with IDs or without.
func TestAnAppendUnderWayWhenItsKeyIsRevokedHasAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, id := range []uuid.UUID{uuid.Nil, uuid.New()} {
		keys := auth.NewKeys(allKeys()...)
		client := serve(t, stuckStore{memstore.New(nil)}, &ServerOptions{Keys: keys}).dial(t, withKey(appendSecret))
		done := make(chan error)
		go func() {
			_, err := client.Append(t.Context(), []dcb.Event{{Type: "T", ID: id}}, nil)
			done <- err
		}()
		eventually(t, "the append is under way", func() bool { return client.underWay() > 0 })
		keys.Replace(nil)
		err := <-done
		var unavailable *dcb.UnavailableError
		if !errors.As(err, &unavailable) || !unavailable.OutcomeUnknown || !errors.Is(err, auth.ErrKey) || wire.CodeOf(err) != wire.Unknown {
			t.Errorf("ID %v: %v; want an unknown outcome, because of ErrKey", id, err)
		}
	}
}

func TestARightThatIsTakenAwayEndsWhatStandsByIt(t *testing.T) {
	t.Parallel()
	keys := auth.NewKeys(allKeys()...)
	client := serve(t, memstore.New(nil), &ServerOptions{Keys: keys}).dial(t, withKey(bothSecret))
	done := make(chan error)
	go func() {
		_, err := client.Wait(t.Context(), 1<<60)
		done <- err
	}()
	eventually(t, "the call is under way", func() bool { return client.underWay() > 0 })
	keys.Replace([]auth.Key{auth.NewKey("less", auth.Append, bothSecret)})
	if err := <-done; !errors.Is(err, auth.ErrPermission) {
		t.Errorf("it ended with %v; want ErrRight", err)
	}
	if err := sessionCalls["Append"](t.Context(), client); err != nil {
		t.Errorf("what is still allowed: %v", err)
	}
}

// However a change of the keys and the beginning of a session meet, no session outlives its key.
func TestNoSessionSlipsThroughAChangeOfKeys(t *testing.T) {
	t.Parallel()
	keys := auth.NewKeys(allKeys()...)
	server := serve(t, memstore.New(nil), &ServerOptions{Keys: keys})
	for round := range 100 {
		keys.Replace(allKeys())
		done := make(chan error)
		go func() {
			opts := *server.opts
			opts.Key = bothSecret
			client, err := Dial(t.Context(), server.address, &opts)
			if err == nil {
				_, err = client.Wait(t.Context(), 1<<60)
				_ = client.Close()
			}
			done <- err
		}()
		for range round % 7 {
			keys.Replace(allKeys()) // as a signal that comes several times
			time.Sleep(time.Duration(round) * time.Microsecond)
		}
		keys.Replace(nil)
		select {
		case err := <-done:
			if !errors.Is(err, auth.ErrKey) {
				t.Errorf("round %d: %v; want ErrKey", round, err)
			}
		case <-time.After(testPatience):
			t.Fatalf("round %d: a session goes on without a key", round)
		}
	}
}

// recording keeps what a server sends.
type recording struct {
	net.Conn
	mu    *sync.Mutex
	heard *bytes.Buffer
}

func (r *recording) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard.Write(b[:n])
	return n, err
}

// failing is a store whose errors name what is nobody's business.
type failing struct{ dcb.Store }

func (failing) Append(context.Context, []dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
	return 0, errors.New("secret-host: the data of an event is too much for /secret/path")
}

func (failing) Head(context.Context) (dcb.Position, error) {
	return 0, &dcb.UnavailableError{Cause: errors.New("connect to secret-host as secret-user")}
}

func (failing) Wait(context.Context, dcb.Position) (dcb.Position, error) {
	return 0, fmt.Errorf("connect to secret-host: %w", context.DeadlineExceeded)
}

func TestNoAnswerHasKeysOrDataOrSecretsOfTheServerInIt(t *testing.T) {
	t.Parallel()
	server := serve(t, failing{memstore.New(nil)}, &ServerOptions{Keys: auth.NewKeys(allKeys()...)})
	var mu sync.Mutex // guards heard
	var heard bytes.Buffer
	dial := server.opts.Dial
	server.opts.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := dial(ctx, address)
		if err != nil {
			return nil, err
		}
		return &recording{conn, &mu, &heard}, nil
	}
	for _, secret := range []string{bothSecret, readSecret, appendSecret} {
		client := server.dial(t, withKey(secret))
		for _, name := range []string{"Append", "Head", "Wait"} {
			if err := sessionCalls[name](t.Context(), client); err == nil {
				t.Errorf("%s with %s did not fail", name, secret)
			}
		}
	}
	opts := *server.opts
	opts.Key = "a key that is wrong"
	if _, err := Dial(t.Context(), server.address, &opts); err == nil {
		t.Error("a wrong key was taken")
	}
	mu.Lock()
	defer mu.Unlock()
	for _, secret := range []string{"a key", "the data of an event", "secret-", "/secret"} {
		if bytes.Contains(heard.Bytes(), []byte(secret)) {
			t.Errorf("%q was sent by the server", secret)
		}
	}
	if heard.Len() < 500 {
		t.Errorf("%d bytes were heard in all", heard.Len())
	}
}

func TestConnectionsAreEncryptedByTLS12AtLeast(t *testing.T) {
	t.Parallel()
	certificate, caFile := selfSigned(t)
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pem)
	server := serveByLoopback(t, memstore.New(nil), &ServerOptions{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}}) //nolint:gosec // the least version is gRPC's own
	trusting := &tls.Config{RootCAs: authorities, ServerName: "localhost"}                                                          //nolint:gosec // as above
	client := server.dial(t, func(o *ClientOptions) { o.TLS = trusting })
	if err := sessionCalls["Append"](t.Context(), client); err != nil {
		t.Error(err)
	}
	for version, old := range map[string]uint16{"TLS 1.0": tls.VersionTLS10, "TLS 1.1": tls.VersionTLS11} {
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: authorities, ServerName: "localhost", MinVersion: old, MaxVersion: old, NextProtos: []string{"h2"}}} //nolint:gosec // that is what is tried
		if conn, err := dialer.DialContext(t.Context(), "tcp", server.address); err == nil {
			_ = conn.Close()
			t.Errorf("a client with %s was let in", version)
		} else if !strings.Contains(err.Error(), "version") {
			t.Errorf("%s: %v; want the version to be refused", version, err)
		}
	}
	quickly := func(config *tls.Config) error {
		ctx, cancel := context.WithTimeout(t.Context(), testPatience)
		defer cancel()
		_, err := Dial(ctx, server.address, &ClientOptions{TLS: config})
		return err
	}
	if err := quickly(nil); !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("without encryption: %v; want ErrUnavailable", err)
	}
	if err := quickly(&tls.Config{ServerName: "localhost"}); !errors.Is(err, dcb.ErrUnavailable) { //nolint:gosec // as above
		t.Errorf("without trust: %v; want ErrUnavailable", err)
	}
}

func TestMutualTLSAsksClientsForACertificate(t *testing.T) {
	t.Parallel()
	certificate, caFile := selfSigned(t)
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pem)
	server := serveByLoopback(t, memstore.New(nil), &ServerOptions{TLS: &tls.Config{ //nolint:gosec // the least version is gRPC's own
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAnyClientCert,
	}})
	config := &tls.Config{RootCAs: authorities, ServerName: "localhost"} //nolint:gosec // as above
	if _, err := Dial(t.Context(), server.address, &ClientOptions{TLS: config}); !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("without a certificate: %v; want ErrUnavailable", err)
	}
	config = config.Clone()
	config.Certificates = []tls.Certificate{certificate}
	client := server.dial(t, func(o *ClientOptions) { o.TLS = config })
	if err := sessionCalls["Append"](t.Context(), client); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
}
