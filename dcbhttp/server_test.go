package dcbhttp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/eventjson"
	"github.com/dcbstore/dcb/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// memory is a listener whose connections are pipes in memory.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case conn := <-m.conns:
		return conn, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case m.conns <- there:
		return here, nil
	case <-m.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// served is a handler with its server and a transport to it.
type served struct {
	*Handler
	server    *http.Server
	base      string
	transport *http.Transport
}

// serve serves a store until the end of the test.
func serve(t testing.TB, store dcb.Store, opts *Options, loopback bool) *served {
	t.Helper()
	h, err := New(store, opts)
	if err != nil {
		t.Fatal(err)
	}
	return h.serveAt(t, loopback)
}

// serveAt serves h, or a handler instead of it, until the end of the test.
func (h *Handler) serveAt(t testing.TB, loopback bool, instead ...http.HandlerFunc) *served {
	t.Helper()
	s := &served{Handler: h, server: h.Server(), transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	for _, handler := range instead {
		s.server.Handler = handler
	}
	var listener net.Listener
	if loopback {
		var err error
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		s.base = "http://" + listener.Addr().String()
	} else {
		pipes := newMemory()
		listener, s.base, s.transport.DialContext = pipes, "http://memory", pipes.dial
	}
	done := make(chan error)
	go func() { done <- s.server.Serve(listener) }()
	t.Cleanup(func() {
		s.transport.CloseIdleConnections()
		if err := s.server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s
}

func (s *served) client() *client { return newClient(s.base, s.transport) }

// answer is a response whose body was read.
type answer struct {
	StatusCode int
	Header     http.Header
	Close      bool
}

// send sends a request and returns the response with its body.
func (s *served) send(t testing.TB, method, target, body string, header ...string) (*answer, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.base+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	response, err := s.transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &answer{response.StatusCode, response.Header, response.Close}, string(text)
}

// message is one server-sent event.
type message struct{ id, event, data, retry string }

// messages reads server-sent events as a browser does. It yields an error at the end.
func messages(from io.Reader) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		var m message
		lines := bufio.NewReader(from)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				yield(message{}, err)
				return
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "id":
				m.id = value
			case "event":
				m.event = value
			case "data":
				m.data += value
			case "retry":
				m.retry = value
			}
			if line == "\n" {
				if m != (message{}) && !yield(m, nil) {
					return
				}
				m = message{}
			}
		}
	}
}

func (m message) result() (dcb.ReadResult, error) {
	switch m.event {
	case "event":
		var e eventjson.SequencedEvent
		err := json.Unmarshal([]byte(m.data), &e)
		return dcb.ReadResult{Events: []dcb.SequencedEvent{eventIn(e)}, Head: e.Position}, err
	case "head":
		var h headResponse
		err := json.Unmarshal([]byte(m.data), &h)
		return dcb.ReadResult{Head: h.Head}, err
	case "problem":
		var p problemResponse
		if err := json.Unmarshal([]byte(m.data), &p); err != nil {
			return dcb.ReadResult{}, err
		}
		return dcb.ReadResult{}, errorOf(p)
	}
	return dcb.ReadResult{}, errors.New("unknown event " + m.event)
}
