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

// slow is a store whose appends take until they are let go, and that knows whether it was closed.
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

func TestAStopLetsCallsFinishAndClosesTheStoreLast(t *testing.T) {
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
		t.Error("the store is closed while calls are under way")
	case body := <-done:
		t.Errorf("a call ended: %s", body)
	default:
	}
	close(store.release)
	for range 2 {
		if body := <-done; !strings.Contains(body, `"position":1`) && !strings.Contains(body, `"position":2`) {
			t.Errorf("an answer is %s", body)
		}
	}
	if err := r.await(); err != nil {
		t.Error(err)
	}
	<-store.closed
}

// refuses reports whether nobody listens on an address.
func refuses(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}

func TestAStopIsHardWhenItsTimeIsOver(t *testing.T) {
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
	if _, err := fmt.Fprintf(conn, "POST /append HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(anEvent), anEvent); err != nil {
		t.Fatal(err)
	}
	<-store.began
	r.stop()
	if err := r.await(); err != nil {
		t.Error(err)
	}
	r.says("calls were cut off")
	<-store.closed
	if answer, err := io.ReadAll(conn); len(answer) > 0 {
		t.Errorf("%s, %v; want nothing", answer, err)
	}
}

func TestFollowersAreToldToComeBackAndHoldUpNoStop(t *testing.T) {
	t.Parallel()
	c := config(memstore.New(nil))
	c.StopTimeout = long / 2 // so that it is seen that it was hard
	r := start(t, c)
	client := newClient(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.HTTP+"/subscribe", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewReader(answer.Body)
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
	if told := r.log.String(); strings.Contains(told, "were cut off") {
		t.Errorf("it went on until it was hard:\n%s", told)
	}
	if rest, err := io.ReadAll(lines); err != nil {
		t.Errorf("the stream of events was cut off: %v after %s", err, rest)
	}
	if err := <-left; !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("the follower is told %v", err)
	}
}

// This is not parallel, so that every goroutine there is is its own.
func TestNoGoroutineIsLeft(t *testing.T) {
	_, ignore := hangups() // from the first time on, a goroutine of the process waits for signals
	ignore()
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
		_ = over.Close() // what it says of a server that is gone is its own test's
		client.CloseIdleConnections()
	}
	for end := time.Now().Add(long); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			t.Fatalf("%d goroutines are left of %d before:\n%s", runtime.NumGoroutine(), before, &stacks)
		}
	}
}

func TestWhatIsAcceptedAfterACutIsClosed(t *testing.T) {
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
		t.Errorf("%v; want that it is closed", err)
	}
	_ = conn.Close()
	if len(l.open) > 0 {
		t.Error("it is not forgotten")
	}
}

func TestIfOneListenerFailsBothStopAndTheErrorIsTold(t *testing.T) {
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
		t.Errorf("%v; want the listener's error", err)
	}
	if len(stopped) != 2 {
		t.Errorf("%d of 2 were stopped", len(stopped))
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
