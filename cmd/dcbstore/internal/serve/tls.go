package serve

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/dcbstore/dcb/dcbnet"
)

// minTLS is the lowest version that the server accepts. Clients that support TLS 1.3 use it. TLS 1.2
// stays for .NET on Windows Server 2019 and for older Java; with Go's cipher suites it is secure.
const minTLS = tls.VersionTLS12

// certificates holds the server's certificate and the authorities of client certificates. They can be
// reloaded while the server runs; that does not affect open connections.
type certificates struct {
	cert, key, clientCA string // paths of PEM files

	current atomic.Pointer[loaded]
}

// loaded is the content of the files. Each protocol has its own configuration, because each has its own
// ALPN names. A configuration is reused until the next reload, because it holds the keys of session
// tickets.
type loaded struct {
	dcb, umadb, http *tls.Config
	expires          time.Time
}

// read reads the files and makes their content current. After an error the previous content stays.
func (c *certificates) read() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("serve: tls: %s with %s: %w", c.cert, c.key, err)
	}
	base := &tls.Config{MinVersion: minTLS, Certificates: []tls.Certificate{pair}}
	if c.clientCA != "" {
		if base.ClientCAs, err = readAuthorities(c.clientCA); err != nil {
			return err
		}
		base.ClientAuth = tls.RequireAndVerifyClientCert
	}
	dcb, umadb, http := base.Clone(), base.Clone(), base.Clone()
	dcb.NextProtos = []string{dcbnet.ALPN}
	umadb.NextProtos = []string{"h2"}
	http.NextProtos = []string{"h2", "http/1.1"}
	c.current.Store(&loaded{dcb: dcb, umadb: umadb, http: http, expires: pair.Leaf.NotAfter})
	return nil
}

// readAuthorities reads the certificates of authorities from a PEM file.
func readAuthorities(file string) (*x509.CertPool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("serve: tls: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("serve: tls: %s: %w", file, errNoCertificate)
	}
	return pool, nil
}

var errNoCertificate = errors.New("it contains no certificate in PEM")

func (c *certificates) expires() time.Time { return c.current.Load().expires }

// config returns a configuration that uses the current certificates for each new connection. The
// function of selects the protocol.
func (c *certificates) config(of func(*loaded) *tls.Config) *tls.Config {
	config := of(c.current.Load()).Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return of(c.current.Load()), nil }
	return config
}

func forDCB(l *loaded) *tls.Config   { return l.dcb }
func forUmaDB(l *loaded) *tls.Config { return l.umadb }
func forHTTP(l *loaded) *tls.Config  { return l.http }
