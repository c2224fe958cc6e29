package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbnet"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/stores"
	"github.com/dcbstore/dcb/umadb"
)

// long is what nothing in these tests takes unless it hangs, however loaded the machine is.
const long = 2 * time.Minute

// logged is a log that can be read while it is written.
type logged struct {
	mu   sync.Mutex // guards told
	told bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told.String()
}

// running is a server of a test.
type running struct {
	Addresses
	t       *testing.T
	log     *logged
	hangups chan os.Signal
	stop    context.CancelFunc
	ended   chan struct{}
	err     error // what Run returned, once it ended
}

// config is that of a server on ports that are free.
func config(store stores.Store) Config {
	return Config{
		Store: "mem:", DCB: "127.0.0.1:0", UmaDB: "127.0.0.1:0", HTTP: "127.0.0.1:0",
		Open: func(context.Context) (stores.Store, error) { return store, nil },
	}
}

func start(t *testing.T, c Config) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{t: t, log: new(logged), hangups: make(chan os.Signal), stop: stop, ended: make(chan struct{})}
	ready := make(chan Addresses, 1)
	c.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Hangups = r.hangups
	c.Ready = func(a Addresses) { ready <- a }
	go func() {
		defer close(r.ended)
		r.err = Run(ctx, c)
	}()
	t.Cleanup(func() {
		stop()
		<-r.ended
	})
	select {
	case r.Addresses = <-ready:
	case <-r.ended:
		t.Fatalf("it ended: %v\n%s", r.err, r.log)
	}
	return r
}

// await returns what Run returned.
func (r *running) await() error {
	r.t.Helper()
	select {
	case <-r.ended:
		return r.err
	case <-time.After(long):
		r.t.Fatalf("it does not end; its log:\n%s", r.log)
		return nil
	}
}

// hangup returns when keys and certificates were read again: who receives the second is done with the first.
func (r *running) hangup() {
	for range 2 {
		select {
		case r.hangups <- os.Interrupt: // any will do
		case <-time.After(long):
			r.t.Fatalf("nobody reads the signal; its log:\n%s", r.log)
		}
	}
}

// says returns when its log has text: a call is told of when it is answered already.
func (r *running) says(text string) {
	r.t.Helper()
	if !eventually(func() bool { return strings.Contains(r.log.String(), text) }) {
		r.t.Errorf("its log has no %q:\n%s", text, r.log)
	}
}

// eventually calls f until it is true.
func eventually(f func() bool) bool {
	for end := time.Now().Add(long); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// get returns the status and the body of an answer.
func get(t *testing.T, client *http.Client, url, key string) (int, string) {
	t.Helper()
	return do(t, client, http.MethodGet, url, key, "")
}

func do(t *testing.T, client *http.Client, method, url, key, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// newClient returns a client whose connections end with the test.
func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

const anEvent = `{"events":[{"type":"T","tags":["a"],"data":"x"}]}`

func TestRunServesOneStoreByEveryProtocol(t *testing.T) {
	t.Parallel()
	r := start(t, config(memstore.New(nil)))
	client := newClient(t)
	if status, body := do(t, client, "POST", "http://"+r.HTTP+"/append", "", anEvent); status != http.StatusOK {
		t.Fatal(status, body)
	}
	over, err := dcbnet.Dial(t.Context(), r.DCB, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	if head, err := over.Head(t.Context()); head != 1 || err != nil {
		t.Errorf("the head over dcbnet is %d, %v", head, err)
	}
	if _, err := over.Append(t.Context(), []dcb.Event{{Type: "T"}}, &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}); !errors.Is(err, dcb.ErrConflict) {
		t.Errorf("%v; want a conflict", err)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := get(t, client, "http://"+r.HTTP+path, ""); status != http.StatusOK {
			t.Error(path, status, body)
		}
	}
	for _, want := range []string{
		"dcb_appends_total 1\n", "dcb_append_conflicts_total 1\n", `dcb_calls_total{code="ok",method="/append",wire="http"} 1`,
		`method="Append",wire="dcbnet"`, `dcb_connections{wire="dcbnet"} 1`,
	} {
		metrics := ""
		if !eventually(func() bool { // a call is counted when it is answered already
			_, metrics = get(t, client, "http://"+r.HTTP+"/metrics", "")
			return strings.Contains(metrics, want)
		}) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
	r.says("level=DEBUG msg=\"a call failed\" wire=dcbnet method=Append code=conflict")
	r.stop()
	if err := r.await(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsUnsafeOrWrongIsRefusedBeforeTheStoreIsOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := newAuthority(t)
	cert, key := ca.files(t, dir, "server")
	_, otherKey := ca.files(t, dir, "other")
	keys := file("keys", "ann read,append 0123456789abcdef\n")
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"everything off":             {func(c *Config) { c.DCB, c.UmaDB, c.HTTP = "off", "off", "" }, "nothing to serve"},
		"dcbnet to all":              {func(c *Config) { c.DCB = "0.0.0.0:0" }, "without TLS and keys whoever reaches it can read and append everything"},
		"HTTP to all":                {func(c *Config) { c.HTTP = ":0" }, "--http :0 can be reached from other machines"},
		"IPv6 to all":                {func(c *Config) { c.HTTP = "[::]:0" }, "can be reached from other machines"},
		"TLS without keys":           {func(c *Config) { c.HTTP, c.TLSCert, c.TLSKey = ":0", cert, key }, "without keys"},
		"keys without TLS":           {func(c *Config) { c.HTTP, c.KeysFile = ":0", keys }, "without TLS keys and events can be read on their way"},
		"a certificate without key":  {func(c *Config) { c.TLSCert = cert }, "belong together"},
		"a CA without certificate":   {func(c *Config) { c.TLSClientCA = cert }, "takes TLS"},
		"a key of another":           {func(c *Config) { c.TLSCert, c.TLSKey = cert, otherKey }, "private key does not match"},
		"a certificate that is none": {func(c *Config) { c.TLSCert, c.TLSKey = keys, key }, "failed to find any PEM data"},
		"a certificate that is gone": {func(c *Config) { c.TLSCert, c.TLSKey = dir+"/gone", key }, "no such file"},
		"a CA that is none":          {func(c *Config) { c.TLSCert, c.TLSKey, c.TLSClientCA = cert, key, keys }, "no certificate in it"},
		"keys that are gone":         {func(c *Config) { c.KeysFile = dir + "/gone" }, "no such file"},
		"keys that are short":        {func(c *Config) { c.KeysFile = file("short", "# x\nann read secret\n") }, "line 2: the key has 6 bytes"},
		"no keys":                    {func(c *Config) { c.KeysFile = file("none", "# none\n") }, "contains no keys"},
		"pprof to all":               {func(c *Config) { c.Pprof, c.Insecure = ":0", true }, "profiles are for this one only"},
		"no address":                 {func(c *Config) { c.UmaDB = "50051" }, "--umadb 50051 is no address: missing port"},
		"a URL":                      {func(c *Config) { c.HTTP = "http://localhost:80" }, "is a URL"},
		"a negative limit":           {func(c *Config) { c.Limits.Calls = -1 }, "Limits.Calls is -1"},
		"a negative time":            {func(c *Config) { c.StopTimeout = -1 }, "--stop-timeout is -1ns"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := config(nil)
			config.Open = func(context.Context) (stores.Store, error) {
				t.Error("the store is opened")
				return nil, errors.ErrUnsupported
			}
			c.change(&config)
			err := Run(t.Context(), config)
			var refusal *Refusal
			if !errors.As(err, &refusal) || refusal.Hint == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want a refusal: %s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("a key is in %v", err)
			}
		})
	}
}

func TestAnOriginThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	c := config(memstore.New(nil))
	c.Origins = []string{"app.example.com"}
	var refusal *Refusal
	if err := Run(t.Context(), c); !errors.As(err, &refusal) {
		t.Errorf("%v; want a refusal", err)
	}
}

func TestWhoSaysInsecureIsServedAndWarned(t *testing.T) {
	t.Parallel()
	c := config(memstore.New(nil))
	c.HTTP, c.Insecure = "0.0.0.0:0", true
	r := start(t, c)
	_, port, err := net.SplitHostPort(r.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := get(t, newClient(t), "http://127.0.0.1:"+port+"/head", ""); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	r.says("level=WARN msg=\"this can be reached from other machines")
}

func TestASecondServerOnADirectoryIsTurnedAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := config(nil)
	c.Store = "disk:" + dir
	c.Open = func(ctx context.Context) (stores.Store, error) { return stores.Open(ctx, c.Store) }
	r := start(t, c)
	if err := Run(t.Context(), c); !errors.Is(err, diskstore.ErrLocked) {
		t.Errorf("%v; want that it is locked", err)
	}
	_, metrics := get(t, newClient(t), "http://"+r.HTTP+"/metrics", "")
	for _, want := range []string{`dcb_disk_bytes{kind="log"}`, "dcb_disk_sync_duration_seconds_bucket"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
	r.stop()
	if err := r.await(); err != nil {
		t.Error(err)
	}
	if again := start(t, c); again.HTTP == "" {
		t.Error("it is not served again")
	}
}

func TestAStoreThatCannotBeOpenedIsTheError(t *testing.T) {
	t.Parallel()
	c := config(nil)
	c.Open = func(context.Context) (stores.Store, error) { return nil, dcb.ErrCorrupt }
	if err := Run(t.Context(), c); !errors.Is(err, dcb.ErrCorrupt) {
		t.Error(err)
	}
}

func TestOnlyWhoNamesThisMachineReachesWhatAnyoneMayCall(t *testing.T) {
	t.Parallel()
	c := config(memstore.New(nil))
	c.Pprof = "127.0.0.1:0"
	r := start(t, c)
	client := newClient(t)
	for _, url := range []string{"http://" + r.HTTP + "/head", "http://" + r.Pprof + "/debug/pprof/"} {
		for host, want := range map[string]int{
			"": http.StatusOK, "localhost": http.StatusOK, "localhost:99": http.StatusOK, "[::1]:80": http.StatusOK, "[::1]": http.StatusOK,
			"evil.example": http.StatusMisdirectedRequest, "127.0.0.1.evil.example:80": http.StatusMisdirectedRequest, "10.0.0.1": http.StatusMisdirectedRequest,
		} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = host
			answer, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("%s as %q: status %d; want %d", url, host, answer.StatusCode, want)
			}
		}
	}
	if status, _ := get(t, client, "http://"+r.Pprof+"/debug/pprof/cmdline", ""); status != http.StatusNotFound {
		t.Errorf("the command line, which may have a password, is told: status %d", status)
	}
}

func TestKeysAreReadAgainAndAWrongFileChangesNothing(t *testing.T) {
	t.Parallel()
	const first, second = "first-0123456789abcdef", "second-0123456789abcdef"
	file := filepath.Join(t.TempDir(), "keys")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil { // readable by everyone, to be warned of
			t.Fatal(err)
		}
	}
	write("ann read,append " + first + "\n")
	c := config(memstore.New(nil))
	c.KeysFile = file
	r := start(t, c)
	client := newClient(t)
	answers := func(when string, want map[string]int) {
		t.Helper()
		for key, status := range want {
			if got, _ := get(t, client, "http://"+r.HTTP+"/head", key); got != status {
				t.Errorf("%s: with the key %q the status is %d; want %d", when, key, got, status)
			}
		}
	}
	answers("at first", map[string]int{"": http.StatusUnauthorized, first: http.StatusOK, second: http.StatusUnauthorized})
	write("bob read " + second + "\n")
	r.hangup()
	answers("after the first signal", map[string]int{first: http.StatusUnauthorized, second: http.StatusOK})
	if got, _ := do(t, client, "POST", "http://"+r.HTTP+"/append", second, anEvent); got != http.StatusForbidden {
		t.Errorf("who may read appends: status %d", got)
	}
	write("bob read short\n")
	r.hangup()
	answers("after a wrong file", map[string]int{first: http.StatusUnauthorized, second: http.StatusOK})
	r.says("level=ERROR msg=\"the keys stay as they were")
	r.says("can be read by everyone")
	r.says("key_name=bob")
	if _, metrics := get(t, client, "http://"+r.HTTP+"/metrics", second); !strings.Contains(metrics, "dcb_config_last_reload_successful 0\n") {
		t.Error("the metrics do not say that it failed")
	}
	if told := r.log.String(); strings.Contains(told, first) || strings.Contains(told, second) || strings.Contains(told, "short") {
		t.Errorf("a key is in the log:\n%s", told)
	}
}

func TestASignalWithNothingToReadIsNoTrouble(t *testing.T) {
	t.Parallel()
	r := start(t, config(memstore.New(nil)))
	r.hangup()
	r.says("neither keys nor certificates")
}

// This is not parallel: it changes the environment.
func TestSystemdIsTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	next := func(want string) {
		t.Helper()
		buffer := make([]byte, 100)
		_ = conn.SetReadDeadline(time.Now().Add(long))
		n, err := conn.Read(buffer)
		if got := string(buffer[:n]); got != want || err != nil {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	r := start(t, config(memstore.New(nil)))
	next("READY=1")
	r.stop()
	if err := r.await(); err != nil {
		t.Error(err)
	}
	next("STOPPING=1")
}

// This is not parallel: it changes the environment.
func TestCallsOfEachWireReachACollector(t *testing.T) {
	var mu sync.Mutex // guards received
	var received strings.Builder
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.Copy(&received, r.Body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", fmt.Sprint(long.Milliseconds()))
	c := config(memstore.New(nil))
	c.flushTimeout = long
	r := start(t, c)
	if status, _ := do(t, newClient(t), http.MethodPost, "http://"+r.HTTP+"/append", "", anEvent); status != http.StatusOK {
		t.Error(status)
	}
	session, err := dcbnet.Dial(t.Context(), r.DCB, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	foreign, err := umadb.Dial(t.Context(), r.UmaDB, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	for _, s := range []dcb.Store{session, foreign} {
		if _, err := s.Head(t.Context()); err != nil {
			t.Error(err)
		}
	}
	r.stop()
	if err := r.await(); err != nil { // which sends the last
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"store.append", "store.head", "dcbnet/Head", "umadb.v1.DCB/Head", "/append"} {
		if !strings.Contains(received.String(), want) {
			t.Errorf("there is no span %s in %q", want, received.String())
		}
	}
}
