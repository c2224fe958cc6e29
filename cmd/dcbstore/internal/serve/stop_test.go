package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbnet"
	"github.com/dcbstore/dcb/memstore"
)

// slow is a store whose appends wait for release. It closes the channel closed when it is closed.
type slow struct {
	*memstore.Store
	began, release chan struct{}
	closed         chan struct{}
}

func newSlow() *slow {
	return &slow{memstore.New(nil), make(chan struct{}), make(chan struct{}), make(chan struct{})}
}

func (s *slow) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.began <- struct{}{}
	<-s.release
	return s.Store.Append(context.WithoutCancel(ctx), events, condition)
}

func (s *slow) Close() error {
	close(s.closed)
	return s.Store.Close()
}

func TestStopWaitsForCallsBeforeItClosesTheStore(t *testing.T) {
	t.Parallel()
	store := newSlow()
	c := config(store)
	c.StopTimeout = long
	r := start(t, c)
	client := newClient(t)
	over, err := dcbnet.Dial(t.Context(), r.DCB, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	done := make(chan string, 2)
	go func() {
		_, body := do(t, client, "POST", "http://"+r.HTTP+"/append", "", anEvent)
		done <- body
	}()
	go func() {
		position, err := over.Append(context.WithoutCancel(t.Context()), []dcb.Event{{Type: "T"}}, nil)
		done <- fmt.Sprint(`"position":`, position, err)
	}()
	<-store.began
	<-store.began
	r.stop()
	for !refuses(r.HTTP) || !refuses(r.DCB) || !refuses(r.UmaDB) {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-store.closed:
		t.Error("the server closed the store while calls were under way")
	case body := <-done:
		t.Errorf("a call ended before the store answered: %s", body)
	default:
	}
	close(store.release)
	for range 2 {
		if body := <-done; !strings.Contains(body, `"position":1`) && !strings.Contains(body, `"position":2`) {
			t.Errorf("the response is %s, want position 1 or 2", body)
		}
	}
	if err := r.await(); err != nil {
		t.Error(err)
	}
	<-store.closed
}

// refuses reports whether no process listens on an address.
func refuses(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}

func TestStopCutsOffCallsAfterTheTimeout(t *testing.T) {
	t.Parallel()
	store := newSlow()
	defer close(store.release)
	c := config(store)
	c.StopTimeout = 50 * time.Millisecond
	r := start(t, c)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const header = "POST /append HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	if _, err := fmt.Fprintf(conn, header+"Content-Length: %d\r\n\r\n%s", len(anEvent), anEvent); err != nil {
		t.Fatal(err)
	}
	<-store.began
	r.stop()
	if err := r.await(); err != nil {
		t.Error(err)
	}
	r.logs("cut off calls that had not finished")
	<-store.closed
	if response, err := io.ReadAll(conn); len(response) > 0 {
		t.Errorf("the response is %s, %v, want none", response, err)
	}
}

func TestStopEndsSubscriptionsAtOnce(t *testing.T) {
	t.Parallel()
	c := config(memstore.New(nil))
	c.StopTimeout = long / 2 // the log shows whether it was needed
	r := start(t, c)
	client := newClient(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.HTTP+"/subscribe", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	over, err := dcbnet.Dial(t.Context(), r.DCB, &dcbnet.ClientOptions{RetryFor: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	following, left := make(chan struct{}), make(chan error, 1)
	go func() {
		for _, err := range over.Follow(t.Context(), dcb.All(), 0) {
			if err != nil {
				left <- err
				return
			}
			close(following)
		}
	}()
	<-following
	r.stop()
	if err := r.await(); err != nil {
		t.Error(err)
	}
	if text := r.log.String(); strings.Contains(text, "cut off calls") {
		t.Errorf("the stop took until the timeout; the log:\n%s", text)
	}
	if rest, err := io.ReadAll(lines); err != nil {
		t.Errorf("the SSE stream was cut off: %v after %s", err, rest)
	}
	if err := <-left; !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("Follow = %v, want ErrUnavailable", err)
	}
}

// Not parallel: the test counts all goroutines of the process.
func TestRunLeavesNoGoroutines(t *testing.T) {
	_, stopSignals := hangups() // after the first use, one goroutine of the process waits for signals
	stopSignals()
	before := runtime.NumGoroutine()
	for range 3 {
		c := config(memstore.New(nil))
		c.Pprof = "127.0.0.1:0"
		r := start(t, c)
		client := newClient(t)
		if status, _ := get(t, client, "http://"+r.HTTP+"/head", ""); status != http.StatusOK {
			t.Error(status)
		}
		over, err := dcbnet.Dial(t.Context(), r.DCB, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := over.Head(t.Context()); err != nil {
			t.Error(err)
		}
		r.stop()
		if err := r.await(); err != nil {
			t.Error(err)
		}
		_ = over.Close()
		client.CloseIdleConnections()
	}
	for end := time.Now().Add(long); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			t.Fatalf("%d goroutines, want at most %d:\n%s", runtime.NumGoroutine(), before, &stacks)
		}
	}
}

func TestCutClosesConnectionsThatAreAcceptedLater(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newCuttable(inner)
	defer l.Close()
	l.cut()
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read = %v, want ErrClosed", err)
	}
	_ = conn.Close()
	if len(l.open) > 0 {
		t.Error("the listener still refers to the closed connection")
	}
}

func TestServeStopsAllEndpointsIfOneFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("accept: too many open files")
	stopped := make(chan struct{}, 2)
	fake := func(name string, serve func(net.Listener) error) *endpoint {
		return &endpoint{
			name: name, listener: closedListener(t), serve: serve, close: func() {}, cut: func() {},
			shutdown: func(context.Context) error { stopped <- struct{}{}; return nil },
		}
	}
	s := &server{Config: Config{StopTimeout: long, Log: slog.New(slog.DiscardHandler)}, endpoints: []*endpoint{
		fake(dcbEndpoint, func(net.Listener) error { return broken }),
		fake(httpEndpoint, func(net.Listener) error { <-stopped; stopped <- struct{}{}; return nil }),
	}}
	err := s.serve(t.Context(), nil)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "dcbnet on 127.0.0.1:") {
		t.Errorf("serve = %v, want the error of the listener", err)
	}
	if len(stopped) != 2 {
		t.Errorf("%d endpoints were stopped, want 2", len(stopped))
	}
}

func closedListener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return l
}
