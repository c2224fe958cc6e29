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

// minTLS is the oldest version that is spoken. Every client that can speaks 1.3, for the newest that both know is taken. 1.2 stays, because
// .NET on Windows Server 2019 and older Java know nothing newer, and with the suites that Go has for it (forward secrecy, authenticated) it
// is not broken. 1.0 and 1.1 are.
const minTLS = tls.VersionTLS12

// certificates are those of the server and of its clients' authority. They can be replaced while it runs: connections that are open keep what
// they were opened with.
type certificates struct {
	cert, key, clientCA string // files

	now atomic.Pointer[loaded]
}

// loaded is what was read. Each wire has a configuration of its own, since it speaks protocols of its own, and for as long as nothing is read
// again it is one and the same, since it has the keys that sessions are resumed with.
type loaded struct {
	dcb, umadb, http *tls.Config
	expires          time.Time
}

// read reads the files, and uses what is in them from now on. Where one is wrong nothing changes.
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
	c.now.Store(&loaded{dcb: dcb, umadb: umadb, http: http, expires: pair.Leaf.NotAfter})
	return nil
}

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

var errNoCertificate = errors.New("there is no certificate in it")

func (c *certificates) expires() time.Time { return c.now.Load().expires }

// config returns a configuration that is the current one of a wire at each connection.
func (c *certificates) config(of func(*loaded) *tls.Config) *tls.Config {
	current := of(c.now.Load()).Clone()
	current.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return of(c.now.Load()), nil }
	return current
}

func forDCB(l *loaded) *tls.Config   { return l.dcb }
func forUmaDB(l *loaded) *tls.Config { return l.umadb }
func forHTTP(l *loaded) *tls.Config  { return l.http }
