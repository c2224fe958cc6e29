package stores_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/dcbnet"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/stores"
	"github.com/dcbstore/dcb/umadb"
)

const serverKey = "geheim-und-lang-genug"

// serveOn serves a new store on an address by the protocol of scheme until the end of the test.
// Clients need serverKey.
func serveOn(t *testing.T, scheme, network, address string) net.Addr {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	keys := auth.NewKeys(auth.NewKey("test", auth.Read|auth.Append, serverKey))
	var server interface {
		Serve(listener net.Listener) error
		Close()
	}
	if scheme == "dcb" {
		server, err = dcbnet.NewServer(memstore.New(nil), &dcbnet.ServerOptions{Keys: keys})
	} else {
		server, err = umadb.NewServer(memstore.New(nil), &umadb.ServerOptions{Keys: keys})
	}
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
	return listener.Addr()
}

// serveTCP serves a new store on a port of host, and returns the port.
func serveTCP(t *testing.T, scheme, host string) (port string) {
	t.Helper()
	_, port, err := net.SplitHostPort(serveOn(t, scheme, "tcp", net.JoinHostPort(host, "0")).String())
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

func TestOpenServer(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"dcb", "dcb+umadb"} {
		port := serveTCP(t, scheme, "127.0.0.1")
		for _, rest := range []string{"127.0.0.1:" + port, "localhost:" + port, "127.0.0.1:" + port + "/", "127.0.0.1:" + port + "?tls=off"} {
			use(t, scheme+"://:"+serverKey+"@"+rest)
		}
		use(t, scheme+"://anyone:"+serverKey+"@127.0.0.1:"+port)
		use(t, scheme+"://:%20"+serverKey+"%0A@127.0.0.1:"+port) // white space around the key
	}
	if !stores.Lasts("dcb://127.0.0.1") {
		t.Error("Lasts(dcb://127.0.0.1) = false, want true")
	}
}

func TestOpenServerOfSeveralHosts(t *testing.T) {
	t.Parallel()
	port := serveTCP(t, "dcb", "127.0.0.1")
	use(t, "dcb://:"+serverKey+"@127.0.0.1:1,127.0.0.1:"+port)
	use(t, "dcb://:"+serverKey+"@127.0.0.1:1,[::1]:1,localhost:"+port+"?tls=off")
	if store, err := stores.Open(t.Context(), "dcb+umadb://a,b"); !errors.Is(err, stores.ErrURL) || !strings.Contains(err.Error(), "takes one") {
		t.Errorf("Open(dcb+umadb://a,b) = %v, %v; want ErrURL", store, err)
	}
}

func TestOpenUNIXSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	serveOn(t, "dcb", "unix", filepath.Join(dir, "socket"))
	use(t, "dcb+unix://:"+serverKey+"@"+filepath.Join(dir, "socket"))
	if store, err := stores.Open(t.Context(), "dcb+unix://"+filepath.Join(dir, "none")); !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("Open without a socket = %v, %v; want ErrUnavailable", store, err)
	}
	for _, url := range []string{"dcb+unix:", "dcb+unix://", "dcb+unix://host/path", "dcb+unix:///a,b", "dcb+unix:///path?tls=on", "dcb+unix:relative"} {
		if store, err := stores.Open(t.Context(), url); !errors.Is(err, stores.ErrURL) {
			t.Errorf("Open(%q) = %v, %v; want ErrURL", url, store, err)
		}
	}
}

func TestOpenServerWithIPv6(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		_ = listener.Close()
		use(t, "dcb://:"+serverKey+"@[::1]:"+serveTCP(t, "dcb", "::1"))
		return
	}
	// Without IPv6 on this machine the test can only check that the URL is valid.
	if _, err := stores.Open(t.Context(), "dcb://[::1]:1"); !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("Open = %v, want ErrUnavailable", err)
	}
}

func TestOpenServerWithTheKeyOfTheEnvironment(t *testing.T) {
	port := serveTCP(t, "dcb", "127.0.0.1")
	t.Setenv(stores.KeyVariable, serverKey+"\n")
	use(t, "dcb://127.0.0.1:"+port)
	t.Setenv(stores.KeyVariable, "nonsense")
	use(t, "dcb://:"+serverKey+"@127.0.0.1:"+port) // the URL's key is preferred
	for _, url := range []string{"dcb://127.0.0.1:" + port, "dcb://:@127.0.0.1:" + port} {
		if store, err := stores.Open(t.Context(), url); !errors.Is(err, auth.ErrKey) {
			t.Errorf("Open(%s) = %v, %v; want ErrKey", url, store, err)
		}
	}
}

func TestOpenServerThatIsAwayHidesTheKey(t *testing.T) {
	t.Parallel()
	const address = "127.0.0.1:1" // needs a privilege to listen, unlike a port that was free a moment ago
	for _, scheme := range []string{"dcb", "dcb+umadb"} {
		store, err := stores.Open(t.Context(), scheme+"://:geheim@"+address)
		if !errors.Is(err, dcb.ErrUnavailable) {
			t.Errorf("%s: Open = %v, %v; want ErrUnavailable", scheme, store, err)
		}
		if errorTexts(err, "geheim") || !strings.Contains(err.Error(), ":xxxxx@"+address) {
			t.Errorf("%s: Open = %v; want the address without the key", scheme, err)
		}
	}
}

func TestOpenServerWithAWrongURL(t *testing.T) {
	t.Parallel()
	noPEM := filepath.Join(t.TempDir(), "no.pem")
	if err := os.WriteFile(noPEM, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for rest, says := range map[string]string{
		"":                               "names no server",
		"/":                              "names no server",
		":50051":                         "names no server",
		"host,":                          "names no server",
		"host,,other":                    "names no server",
		"host/path":                      "names no server",
		"host#fragment":                  "names no server",
		"host:port":                      "is not a URL",
		":geh%zzeim@host":                "is not a URL",
		"[::1":                           "is not a URL",
		"geheim@host":                    "put into $DCB_KEY",
		"host?tls=yes":                   "it is on or off",
		"host?tls=on&tls=off":            "tls is given more than once",
		"host?ssl=on":                    "the parameter ssl is unknown; there are tls, ca, cert and certkey",
		"host?tls=%zz":                   "?name=value",
		"host?tls=on&ca=" + noPEM:        "there is no certificate in",
		"host?ca=" + noPEM:               "mean nothing without tls=on",
		"host?over=grpc":                 "the parameter over is unknown",
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
				t.Errorf("Open(%s) = %v; want ErrURL with %q", url, err, says)
			}
			if errorTexts(err, "geheim") || errorTexts(err, "zzeim") {
				t.Errorf("%s: the error contains the key: %v", url, err)
			}
		}
	}
	for _, url := range []string{"dcb:host", "dcb:/host"} {
		if store, err := stores.Open(t.Context(), url); !errors.Is(err, stores.ErrURL) {
			t.Errorf("%s: %v, %v; want ErrURL", url, store, err)
		}
	}
}

func TestRedactKeyOfAServer(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"dcb://:geheim@host:50051":           "dcb://:xxxxx@host:50051",
		"dcb+umadb://:geheim@host":           "dcb+umadb://:xxxxx@host",
		"dcb://name:ge@heim/?@host?tls=on":   "dcb://name:xxxxx@host?tls=on",
		"dcb://[::1]:50051?tls=on":           "dcb://[::1]:50051?tls=on",
		"dcb://:geheim@a,b:1?tls=on":         "dcb://:xxxxx@a,b:1?tls=on",
		"dcb://:geheim@[::1]:50051?tls=on":   "dcb://:xxxxx@[::1]:50051?tls=on",
		"dcb://host:50051?passphrase=geheim": "dcb://host:50051?passphrase=xxxxx",
	} {
		if got := stores.Redact(url); got != want {
			t.Errorf("Redact(%q) = %q; want %q", url, got, want)
		}
	}
}
