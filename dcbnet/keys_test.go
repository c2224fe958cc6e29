package dcbnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
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

// clientCalls contains each method of a client, as a call that ends.
var clientCalls = map[string]func(ctx context.Context, c *Client) error{
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

func TestServerChecksThePermissionsOfEachCall(t *testing.T) {
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
	for secret, permissions := range map[string]auth.Permission{bothSecret: auth.Read | auth.Append, readSecret: auth.Read, appendSecret: auth.Append} {
		client := server.dial(t, withKey(secret))
		for name, call := range clientCalls {
			needed := auth.Read
			if name == "Append" {
				needed = auth.Append
			}
			err := call(t.Context(), client)
			if allowed := permissions&needed != 0; allowed && err != nil || !allowed && !errors.Is(err, auth.ErrPermission) {
				t.Errorf("%s with %s: %v", name, secret, err)
			}
		}
	}
	eventually(t, "every call is observed", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(calls) >= 3*len(clientCalls)
	})
	mu.Lock()
	defer mu.Unlock()
	for _, call := range calls {
		if call.Protocol != "dcbnet" || !slices.Contains([]string{"both", "reader", "writer"}, call.Key) || strings.Contains(fmt.Sprint(call), "a key for") {
			t.Errorf("%+v", call)
		}
	}
}

func TestDialRefusesAnUnknownKey(t *testing.T) {
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

func TestServerEndsCallsOfARevokedKey(t *testing.T) {
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
		"Read": clientCalls["Read"],
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
				t.Errorf("the call under way = %v, want ErrKey", err)
			}
			for name, call := range clientCalls {
				if err := call(t.Context(), client); !errors.Is(err, auth.ErrKey) {
					t.Errorf("%s after the revocation = %v, want ErrKey", name, err)
				}
			}
			keys.Replace(allKeys())
			if err := clientCalls["Head"](t.Context(), client); err != nil {
				t.Errorf("Head after the key is valid again = %v", err)
			}
		})
	}
}

// underWay returns the number of calls under way.
func (c *Client) underWay() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.mu.Lock()
		n += len(conn.calls)
		conn.mu.Unlock()
	}
	return n
}

// An append under way may have been recorded when its key is revoked, with IDs or without.
func TestAppendHasAnUnknownOutcomeWhenItsKeyIsRevoked(t *testing.T) {
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
		if !isOutcomeUnknown(err) || !errors.Is(err, auth.ErrKey) || wire.CodeOf(err) != wire.Unknown {
			t.Errorf("ID %v: Append = %v, want an unknown outcome because of ErrKey", id, err)
		}
	}
}

func TestServerEndsAWaitThatLosesItsPermission(t *testing.T) {
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
		t.Errorf("Wait = %v, want ErrPermission", err)
	}
	if err := clientCalls["Append"](t.Context(), client); err != nil {
		t.Errorf("Append with the remaining permission = %v", err)
	}
}

// A connection must not outlive its key, however its beginning and a change of the keys
// interleave.
func TestServerChecksKeysOfConnectionsThatBeginDuringAChange(t *testing.T) {
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
			keys.Replace(allKeys()) // as after several signals
			time.Sleep(time.Duration(round) * time.Microsecond)
		}
		keys.Replace(nil)
		select {
		case err := <-done:
			if !errors.Is(err, auth.ErrKey) {
				t.Errorf("round %d: Wait = %v, want ErrKey", round, err)
			}
		case <-time.After(testPatience):
			t.Fatalf("round %d: a connection continues without a key", round)
		}
	}
}

// recording is a connection that records what the server sends.
type recording struct {
	net.Conn
	mu       *sync.Mutex
	received *bytes.Buffer
}

func (r *recording) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.received.Write(b[:n])
	return n, err
}

// failing is a store whose errors contain details of the server.
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

func TestServerSendsNoKeysDataOrDetails(t *testing.T) {
	t.Parallel()
	server := serve(t, failing{memstore.New(nil)}, &ServerOptions{Keys: auth.NewKeys(allKeys()...)})
	var mu sync.Mutex // guards received
	var received bytes.Buffer
	dial := server.opts.Dial
	server.opts.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := dial(ctx, address)
		if err != nil {
			return nil, err
		}
		return &recording{conn, &mu, &received}, nil
	}
	for _, secret := range []string{bothSecret, readSecret, appendSecret} {
		client := server.dial(t, withKey(secret))
		for _, name := range []string{"Append", "Head", "Wait"} {
			if err := clientCalls[name](t.Context(), client); err == nil {
				t.Errorf("%s with %s succeeded", name, secret)
			}
		}
	}
	opts := *server.opts
	opts.Key = "a key that is wrong"
	if _, err := Dial(t.Context(), server.address, &opts); err == nil {
		t.Error("Dial with a wrong key succeeded")
	}
	mu.Lock()
	defer mu.Unlock()
	for _, secret := range []string{"a key", "the data of an event", "secret-", "/secret"} {
		if bytes.Contains(received.Bytes(), []byte(secret)) {
			t.Errorf("the server sent %q", secret)
		}
	}
	if received.Len() < 300 {
		t.Errorf("only %d bytes were received", received.Len())
	}
}
