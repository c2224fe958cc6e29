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

// long is a time limit that only a hang exceeds, even on a loaded machine.
const long = 2 * time.Minute

// logged is a log that can be read while the server writes it.
type logged struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// running is a server that a test has started.
type running struct {
	Addresses
	t       *testing.T
	log     *logged
	hangups chan os.Signal
	stop    context.CancelFunc
	ended   chan struct{}
	err     error // what Run returned, once it ended
}

// config returns the configuration of a server of store on free ports.
func config(store stores.Store) Config {
	return Config{
		Store: "mem:", DCB: "127.0.0.1:0", UmaDB: "127.0.0.1:0", HTTP: "127.0.0.1:0",
		Open: func(context.Context) (stores.Store, error) { return store, nil },
	}
}

// start runs a server until the end of the test, and returns when it is ready.
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
		t.Fatalf("Run = %v before the server was ready; the log:\n%s", r.err, r.log)
	}
	return r
}

// await waits for the end of Run and returns its error.
func (r *running) await() error {
	r.t.Helper()
	select {
	case <-r.ended:
		return r.err
	case <-time.After(long):
		r.t.Fatalf("Run does not end; the log:\n%s", r.log)
		return nil
	}
}

// hangup makes the server reload, and returns after that: the server receives the second signal only
// after it has handled the first.
func (r *running) hangup() {
	for range 2 {
		select {
		case r.hangups <- os.Interrupt: // any value
		case <-time.After(long):
			r.t.Fatalf("the server does not receive the signal; the log:\n%s", r.log)
		}
	}
}

// logs returns when the log contains text. A call is logged after its response is sent.
func (r *running) logs(text string) {
	r.t.Helper()
	if !eventually(func() bool { return strings.Contains(r.log.String(), text) }) {
		r.t.Errorf("the log does not contain %q:\n%s", text, r.log)
	}
}

// eventually reports whether f returns true before the time limit.
func eventually(f func() bool) bool {
	for end := time.Now().Add(long); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// get sends a GET request and returns the status and the body of the response.
func get(t *testing.T, client *http.Client, url, key string) (int, string) {
	t.Helper()
	return do(t, client, http.MethodGet, url, key, "")
}

// do sends a request and returns the status and the body of the response.
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
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// newClient returns an HTTP client whose connections are closed after the test.
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
	httpClient := newClient(t)
	if status, body := do(t, httpClient, "POST", "http://"+r.HTTP+"/append", "", anEvent); status != http.StatusOK {
		t.Fatal(status, body)
	}
	client, err := dcbnet.Dial(t.Context(), r.DCB, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if head, err := client.Head(t.Context()); head != 1 || err != nil {
		t.Errorf("Head through dcbnet = %d, %v, want 1", head, err)
	}
	condition := &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}
	if _, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, condition); !errors.Is(err, dcb.ErrConflict) {
		t.Errorf("Append = %v, want ErrConflict", err)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := get(t, httpClient, "http://"+r.HTTP+path, ""); status != http.StatusOK {
			t.Error(path, status, body)
		}
	}
	for _, want := range []string{
		"dcb_appends_total 1\n", "dcb_append_conflicts_total 1\n", `dcb_calls_total{code="ok",method="/append",wire="http"} 1`,
		`method="Append",wire="dcbnet"`, `dcb_connections{wire="dcbnet"} 1`,
	} {
		metrics := ""
		if !eventually(func() bool { // a call is counted after its response is sent
			_, metrics = get(t, httpClient, "http://"+r.HTTP+"/metrics", "")
			return strings.Contains(metrics, want)
		}) {
			t.Errorf("the metrics do not contain %s:\n%s", want, metrics)
		}
	}
	r.logs("level=DEBUG msg=\"call failed\" wire=dcbnet method=Append code=conflict")
	r.stop()
	if err := r.await(); err != nil {
		t.Error(err)
	}
}

func TestRunRefusesAnInvalidConfigBeforeItOpensTheStore(t *testing.T) {
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
		"everything off":                 {func(c *Config) { c.DCB, c.UmaDB, c.HTTP = "off", "off", "" }, "the server has no listener"},
		"dcbnet on all addresses":        {func(c *Config) { c.DCB = "0.0.0.0:0" }, "without TLS and keys any caller can read and append"},
		"HTTP on all addresses":          {func(c *Config) { c.HTTP = ":0" }, "--http :0 can be reached from other machines"},
		"HTTP on all IPv6 addresses":     {func(c *Config) { c.HTTP = "[::]:0" }, "can be reached from other machines"},
		"TLS without keys":               {func(c *Config) { c.HTTP, c.TLSCert, c.TLSKey = ":0", cert, key }, "without keys"},
		"keys without TLS":               {func(c *Config) { c.HTTP, c.KeysFile = ":0", keys }, "without TLS keys and events can be read on the network"},
		"a certificate without key":      {func(c *Config) { c.TLSCert = cert }, "TLS needs both"},
		"a CA without certificate":       {func(c *Config) { c.TLSClientCA = cert }, "needs TLS"},
		"the key of another certificate": {func(c *Config) { c.TLSCert, c.TLSKey = cert, otherKey }, "private key does not match"},
		"a certificate that is not PEM":  {func(c *Config) { c.TLSCert, c.TLSKey = keys, key }, "failed to find any PEM data"},
		"a missing certificate":          {func(c *Config) { c.TLSCert, c.TLSKey = dir+"/gone", key }, "no such file"},
		"a CA that is not PEM":           {func(c *Config) { c.TLSCert, c.TLSKey, c.TLSClientCA = cert, key, keys }, "it contains no certificate"},
		"a missing file of keys":         {func(c *Config) { c.KeysFile = dir + "/gone" }, "no such file"},
		"a short key":                    {func(c *Config) { c.KeysFile = file("short", "# x\nann read secret\n") }, "line 2: the key has 6 bytes"},
		"a file without keys":            {func(c *Config) { c.KeysFile = file("none", "# none\n") }, "contains no keys"},
		"pprof on all addresses":         {func(c *Config) { c.Pprof, c.Insecure = ":0", true }, "profiles are served on loopback addresses only"},
		"an address without a port":      {func(c *Config) { c.UmaDB = "50051" }, "--umadb 50051 is not an address: missing port"},
		"a URL":                          {func(c *Config) { c.HTTP = "http://localhost:80" }, "is a URL"},
		"a negative limit":               {func(c *Config) { c.Limits.Calls = -1 }, "Limits.Calls is -1"},
		"a negative stop timeout":        {func(c *Config) { c.StopTimeout = -1 }, "--stop-timeout is -1ns"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := config(nil)
			config.Open = func(context.Context) (stores.Store, error) {
				t.Error("Run opened the store")
				return nil, errors.ErrUnsupported
			}
			c.change(&config)
			err := Run(t.Context(), config)
			refusal, ok := errors.AsType[*Refusal](err)
			if !ok || refusal.Hint == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run = %v, want a Refusal that contains %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error contains a key: %v", err)
			}
		})
	}
}

func TestRunRefusesAnInvalidOrigin(t *testing.T) {
	t.Parallel()
	c := config(memstore.New(nil))
	c.Origins = []string{"app.example.com"}
	err := Run(t.Context(), c)
	if _, ok := errors.AsType[*Refusal](err); !ok {
		t.Errorf("Run = %v, want a Refusal", err)
	}
}

func TestRunWithInsecureServesAndWarns(t *testing.T) {
	t.Parallel()
	c := config(memstore.New(nil))
	c.HTTP, c.Insecure = "0.0.0.0:0", true
	r := start(t, c)
	_, port, err := net.SplitHostPort(r.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := get(t, newClient(t), "http://127.0.0.1:"+port+"/head", ""); status != http.StatusOK {
		t.Errorf("status %d, want 200", status)
	}
	r.logs("level=WARN msg=\"other machines can reach this address")
}

func TestRunRefusesADirectoryInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := config(nil)
	c.Store = "disk:" + dir
	c.Open = func(ctx context.Context) (stores.Store, error) { return stores.Open(ctx, c.Store) }
	r := start(t, c)
	if err := Run(t.Context(), c); !errors.Is(err, diskstore.ErrLocked) {
		t.Errorf("a second Run = %v, want ErrLocked", err)
	}
	_, metrics := get(t, newClient(t), "http://"+r.HTTP+"/metrics", "")
	for _, want := range []string{`dcb_disk_bytes{kind="log"}`, "dcb_disk_sync_duration_seconds_bucket"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not contain %s", want)
		}
	}
	r.stop()
	if err := r.await(); err != nil {
		t.Error(err)
	}
	if again := start(t, c); again.HTTP == "" {
		t.Error("no server after the first one has stopped")
	}
}

func TestRunReturnsTheErrorOfOpen(t *testing.T) {
	t.Parallel()
	c := config(nil)
	c.Open = func(context.Context) (stores.Store, error) { return nil, dcb.ErrCorrupt }
	if err := Run(t.Context(), c); !errors.Is(err, dcb.ErrCorrupt) {
		t.Errorf("Run = %v, want ErrCorrupt", err)
	}
}

func TestRunWithoutKeysRefusesOtherHostNames(t *testing.T) {
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
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%s with Host %q: status %d, want %d", url, host, response.StatusCode, want)
			}
		}
	}
	if status, _ := get(t, client, "http://"+r.Pprof+"/debug/pprof/cmdline", ""); status != http.StatusNotFound {
		t.Errorf("cmdline, which can contain a password: status %d, want 404", status)
	}
}

func TestReloadReplacesKeysUnlessTheFileIsInvalid(t *testing.T) {
	t.Parallel()
	const first, second = "first-0123456789abcdef", "second-0123456789abcdef"
	file := filepath.Join(t.TempDir(), "keys")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil { // every user can read it, so the server warns
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
				t.Errorf("%s: status with key %q is %d, want %d", when, key, got, status)
			}
		}
	}
	answers("at first", map[string]int{"": http.StatusUnauthorized, first: http.StatusOK, second: http.StatusUnauthorized})
	write("bob read " + second + "\n")
	r.hangup()
	answers("after the first signal", map[string]int{first: http.StatusUnauthorized, second: http.StatusOK})
	if got, _ := do(t, client, "POST", "http://"+r.HTTP+"/append", second, anEvent); got != http.StatusForbidden {
		t.Errorf("append with a key that can only read: status %d, want 403", got)
	}
	write("bob read short\n")
	r.hangup()
	answers("after an invalid file", map[string]int{first: http.StatusUnauthorized, second: http.StatusOK})
	r.logs("level=ERROR msg=\"cannot reload the keys")
	r.logs("lets every user read it")
	r.logs("key_name=bob")
	if _, metrics := get(t, client, "http://"+r.HTTP+"/metrics", second); !strings.Contains(metrics, "dcb_config_last_reload_successful 0\n") {
		t.Error("the metric does not report the failed reload")
	}
	if text := r.log.String(); strings.Contains(text, first) || strings.Contains(text, second) || strings.Contains(text, "short") {
		t.Errorf("the log contains a key:\n%s", text)
	}
}

func TestReloadWithoutKeysAndCertificates(t *testing.T) {
	t.Parallel()
	r := start(t, config(memstore.New(nil)))
	r.hangup()
	r.logs("neither keys nor certificates")
}

// This is not parallel: it changes the environment.
func TestNotifySystemd(t *testing.T) {
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
			t.Errorf("the datagram is %q, %v, want %q", got, err, want)
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
func TestRunSendsTracesOfEachProtocol(t *testing.T) {
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
	ours, err := dcbnet.Dial(t.Context(), r.DCB, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	foreign, err := umadb.Dial(t.Context(), r.UmaDB, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	for _, s := range []dcb.Store{ours, foreign} {
		if _, err := s.Head(t.Context()); err != nil {
			t.Error(err)
		}
	}
	r.stop()
	if err := r.await(); err != nil { // Run sends the last traces
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"store.append", "store.head", "dcbnet/Head", "umadb.v1.DCB/Head", "/append"} {
		if !strings.Contains(received.String(), want) {
			t.Errorf("no span %s in %q", want, received.String())
		}
	}
}
