package stores_test

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/dcbgrpc"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/stores"
)

const serverKey = "geheim-und-lang-genug"

// serveAt serves a new store at a port of host until the end of the test, to whoever has serverKey, and returns the port.
func serveAt(t *testing.T, host string) (port string) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	keys := auth.NewKeys(auth.NewKey("test", auth.Read|auth.Append, serverKey))
	server, err := dcbgrpc.NewServer(memstore.New(nil), &dcbgrpc.ServerOptions{Keys: keys, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	_, port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// use opens a store, appends an event and reads it.
func use(t *testing.T, url string) {
	t.Helper()
	store, err := stores.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	at, err := store.Append(t.Context(), []dcb.Event{{Type: "T", Data: []byte(url)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := store.Read(t.Context(), dcb.All(), dcb.ReadOptions{After: at - 1})
	if err != nil || len(result.Events) != 1 || string(result.Events[0].Data) != url {
		t.Errorf("%v, %v", result, err)
	}
}

func TestAServerIsOpenedByItsURL(t *testing.T) {
	t.Parallel()
	port := serveAt(t, "127.0.0.1")
	for _, scheme := range []string{"dcb", "dcb+umadb"} {
		for _, rest := range []string{"127.0.0.1:" + port, "localhost:" + port, "127.0.0.1:" + port + "/", "127.0.0.1:" + port + "?tls=off"} {
			use(t, scheme+"://:"+serverKey+"@"+rest)
		}
		use(t, scheme+"://whoever:"+serverKey+"@127.0.0.1:"+port)
	}
	if !stores.Lasts("dcb://127.0.0.1") {
		t.Error("a server's events are forgotten with the process")
	}
}

func TestAServerMayHaveAnAddressOfIPv6(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		_ = listener.Close()
		use(t, "dcb://:"+serverKey+"@[::1]:"+serveAt(t, "::1"))
		return
	}
	// This machine has none; so that the URL is understood is all that can be seen.
	if _, err := stores.Open(t.Context(), "dcb://[::1]:1"); !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("%v; want ErrUnavailable", err)
	}
}

func TestTheEnvironmentHasTheKeyOfAServer(t *testing.T) {
	port := serveAt(t, "127.0.0.1")
	t.Setenv(stores.KeyVariable, serverKey)
	use(t, "dcb://127.0.0.1:"+port)
	t.Setenv(stores.KeyVariable, "nonsense")
	use(t, "dcb://:"+serverKey+"@127.0.0.1:"+port) // what is nearer counts
	for _, url := range []string{"dcb://127.0.0.1:" + port, "dcb://:@127.0.0.1:" + port} {
		if store, err := stores.Open(t.Context(), url); !errors.Is(err, auth.ErrKey) {
			t.Errorf("%s: %v, %v; want ErrKey", url, store, err)
		}
	}
}

func TestAServerThatIsNotThereIsUnavailableAndItsKeyStaysHidden(t *testing.T) {
	t.Parallel()
	const address = "127.0.0.1:1" // not a port that was free a moment ago: another test's server may have it by now
	for _, scheme := range []string{"dcb", "dcb+umadb"} {
		store, err := stores.Open(t.Context(), scheme+"://:geheim@"+address)
		if !errors.Is(err, dcb.ErrUnavailable) {
			t.Errorf("%s: %v, %v; want ErrUnavailable", scheme, store, err)
		}
		if errorTexts(err, "geheim") || !strings.Contains(err.Error(), ":xxxxx@"+address) {
			t.Errorf("%s: %v; want the address, and no key", scheme, err)
		}
	}
}

func TestAWrongURLOfAServerIsNamedWithWhatWouldBeRight(t *testing.T) {
	t.Parallel()
	noPEM := filepath.Join(t.TempDir(), "no.pem")
	if err := os.WriteFile(noPEM, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for rest, says := range map[string]string{
		"":                               "names no server",
		"/":                              "names no server",
		":50051":                         "names no server",
		"host/path":                      "names no server",
		"host#fragment":                  "names no server",
		"host:port":                      "is not a URL",
		":geh%zzeim@host":                "is not a URL",
		"[::1":                           "is not a URL",
		"geheim@host":                    "put into $DCB_KEY",
		"host?tls=yes":                   "it is on or off",
		"host?tls=on&tls=off":            "tls is given more than once",
		"host?ssl=on":                    "the parameter ssl is unknown; there are tls, ca, cert, certkey and over",
		"host?tls=%zz":                   "?name=value",
		"host?tls=on&ca=" + noPEM:        "there is no certificate in",
		"host?ca=" + noPEM:               "mean nothing without tls=on",
		"host?over=tcp":                  "over=tcp is unknown",
		"host?tls=on&ca=" + noPEM + ".x": "no such file",
		"host?tls=on&cert=" + noPEM:      "cert and certkey come together",
		"host?tls=on&certkey=" + noPEM:   "cert and certkey come together",
		"host?tls=on&cert=" + noPEM + "&certkey=" + noPEM: "cert:",
	} {
		for _, scheme := range []string{"dcb", "dcb+umadb"} {
			url := scheme + "://" + rest
			store, err := stores.Open(t.Context(), url)
			if err == nil {
				_ = store.Close()
			}
			if !errors.Is(err, stores.ErrURL) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v; want ErrURL and %q", url, err, says)
			}
			if errorTexts(err, "geheim") || errorTexts(err, "zzeim") {
				t.Errorf("%s: the key shows in %v", url, err)
			}
		}
	}
	for _, url := range []string{"dcb:host", "dcb:/host"} {
		if store, err := stores.Open(t.Context(), url); !errors.Is(err, stores.ErrURL) {
			t.Errorf("%s: %v, %v; want ErrURL", url, store, err)
		}
	}
}

func TestTheKeyOfAServerIsHidden(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"dcb://:geheim@host:50051":           "dcb://:xxxxx@host:50051",
		"dcb+umadb://:geheim@host":           "dcb+umadb://:xxxxx@host",
		"dcb://name:ge@heim/?@host?tls=on":   "dcb://name:xxxxx@host?tls=on",
		"dcb://[::1]:50051?tls=on":           "dcb://[::1]:50051?tls=on",
		"dcb://:geheim@[::1]:50051?tls=on":   "dcb://:xxxxx@[::1]:50051?tls=on",
		"dcb://host:50051?passphrase=geheim": "dcb://host:50051?passphrase=xxxxx",
	} {
		if got := stores.Redact(url); got != want {
			t.Errorf("Redact(%q) = %q; want %q", url, got, want)
		}
	}
}
