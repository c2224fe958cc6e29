package dcbhttp

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

const (
	readKey   = "a-key-that-can-read"
	appendKey = "a-key-that-can-append"
	bothKey   = "a-key-that-can-do-both"
)

func someKeys() []auth.Key {
	return []auth.Key{
		auth.NewKey("reader", auth.Read, readKey),
		auth.NewKey("writer", auth.Append, appendKey),
		auth.NewKey("both", auth.Read|auth.Append, bothKey),
	}
}

func TestServeHTTPChecksTheKeyOfEveryRoute(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var observed []wire.Call
	server := serve(t, filled(t, 1), &Options{
		Keys:    auth.NewKeys(someKeys()...),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "figures") }),
		Observe: func(_ context.Context, call wire.Call) {
			mu.Lock()
			defer mu.Unlock()
			observed = append(observed, call)
		},
	}, false)
	for _, route := range server.routes {
		body := ""
		if route.path == "/append" {
			body = `{"events":[{"type":"A"}]}`
		}
		if route.path == "/read" && route.method == http.MethodPost {
			body = `{}`
		}
		if route.path == "/subscribe" {
			continue // see TestSubscribeAndWaitEndWhenTheKeyIsRevoked
		}
		for header, has := range map[string]auth.Permission{
			"":                            0,
			"Bearer":                      0,
			"Bearer wrong":                0,
			"Bearer " + bothKey + "x":     0,
			"Basic " + bothKey:            0,
			bothKey:                       0,
			"Bearer " + bothKey + " more": 0,
			"Bearer " + readKey:           auth.Read,
			"bearer  " + appendKey:        auth.Append,
			"Bearer " + bothKey:           auth.Read | auth.Append,
		} {
			var headers []string
			if header != "" {
				headers = []string{"Authorization", header}
			}
			response, text := server.send(t, route.method, route.path, body, headers...)
			name := route.method + " " + route.path + " with " + header + ": "
			switch {
			case has&route.permission == route.permission:
				wantStatus(t, response, http.StatusOK, name+text)
			case has == 0:
				wantStatus(t, response, http.StatusUnauthorized, name+text)
				wantProblem(t, response, text, http.StatusUnauthorized, wire.NoKey, "key")
				if response.Header.Get("WWW-Authenticate") != `Bearer realm="dcb"` {
					t.Errorf("%sWWW-Authenticate: %q", name, response.Header.Get("WWW-Authenticate"))
				}
			default:
				wantStatus(t, response, http.StatusForbidden, name+text)
				wantProblem(t, response, text, http.StatusForbidden, wire.NoPermission, "permission")
			}
			if strings.Contains(text, "key-that") {
				t.Errorf("%sthe response contains a key: %s", name, text)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	names := map[string]bool{}
	for _, call := range observed {
		names[call.Key] = true
		if call.Err != nil && strings.Contains(call.Err.Error(), "key-that") {
			t.Errorf("the observed error contains a key: %v", call.Err)
		}
	}
	for _, name := range []string{"", "reader", "writer", "both"} {
		if !names[name] {
			t.Errorf("no observed call has the key %q", name)
		}
	}
}

func TestServeHTTPRefusesTwoAuthorizationHeaders(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), &Options{Keys: auth.NewKeys(someKeys()...)}, false)
	response, text := server.send(t, "GET", "/head", "", "Authorization", "Bearer "+readKey, "Authorization", "Bearer "+appendKey)
	wantProblem(t, response, text, http.StatusUnauthorized, wire.NoKey, "")
}

func TestServeHTTPRefusesEveryCallIfThereAreNoKeys(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), &Options{Keys: auth.NewKeys()}, false)
	response, text := server.send(t, "GET", "/head", "", "Authorization", "Bearer ")
	wantProblem(t, response, text, http.StatusUnauthorized, wire.NoKey, "")
}

func TestSubscribeAndWaitEndWhenTheKeyIsRevoked(t *testing.T) {
	t.Parallel()
	keys := auth.NewKeys(someKeys()...)
	server := serve(t, filled(t, 3), &Options{Keys: keys}, false)
	for _, wrong := range []string{"", appendKey, "wrong"} {
		c := server.client()
		c.key = wrong
		for _, err := range (follower{c}).events(t.Context(), dcb.All(), 0) {
			if code := wire.CodeOf(err); code != wire.NoKey && code != wire.NoPermission {
				t.Errorf("key %q: %v", wrong, err)
			}
		}
	}
	reader, both := server.client(), server.client()
	reader.key, both.key = readKey, bothKey
	begun, ended := make(chan string, 2), make(chan message)
	for _, c := range []*client{reader, both} {
		go func() {
			var last message
			for m, err := range (follower{c}).events(t.Context(), dcb.All(), 0) {
				if err != nil {
					break
				}
				if last = m; m.event == "head" {
					begun <- m.id
				}
			}
			ended <- last
		}()
	}
	waited := make(chan error)
	go func() {
		_, err := reader.Wait(t.Context(), 100)
		waited <- err
	}()
	<-begun
	<-begun
	keys.Replace(someKeys()) // nothing changes
	if _, err := server.store.Append(t.Context(), []dcb.Event{{Type: "A"}}, nil); err != nil {
		t.Fatal(err)
	}
	keys.Replace(someKeys()[1:])
	if last := <-ended; last.event != "problem" || !strings.Contains(last.data, `"code":"no-key"`) {
		t.Errorf("the stream ended with %v", last)
	}
	if err := <-waited; wire.CodeOf(err) != wire.NoKey {
		t.Errorf("the wait ended with %v", err)
	}
	select {
	case last := <-ended:
		t.Errorf("the stream of a valid key ended with %v", last)
	default:
	}
	server.Drain()
	if last := <-ended; last.retry == "" {
		t.Errorf("the stream of a valid key ended with %v", last)
	}
}
