package serve

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb/dcbnet"
	"github.com/dcbstore/dcb/memstore"
)

// authority is a certificate authority of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t), pool: x509.NewCertPool()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pems returns a certificate with the common name, and its key, both in PEM.
func (a *authority) pems(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// files writes a certificate with the common name, and its key, to files in dir. It replaces existing
// files.
func (a *authority) files(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	certPEM, keyPEM := a.pems(t, name)
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem")
	write(t, cert, certPEM)
	write(t, key, keyPEM)
	return cert, key
}

func (a *authority) file(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "ca.pem")
	write(t, path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	return path
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// secureClient returns an HTTP client that makes a new connection for each request.
func secureClient(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	client := newClient(t)
	client.Transport = &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	return client
}

// certificateName connects with TLS and returns the common name of the server's certificate. It also
// reads: with TLS 1.3 a client gets the refusal of its own certificate only then.
func certificateName(t *testing.T, address string, config *tls.Config) (name string, err error) {
	t.Helper()
	config = config.Clone()
	config.NextProtos = []string{dcbnet.ALPN, "h2"} // each server selects its own
	conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(long))
	if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		return "", err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return "", err
	}
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestRunRefusesOldTLSAndClientsWithoutACertificate(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), newAuthority(t)
	c := config(memstore.New(nil))
	c.TLSCert, c.TLSKey = ca.files(t, dir, "server")
	plain := start(t, c)
	c.Open = config(memstore.New(nil)).Open
	c.TLSClientCA = ca.file(t, dir)
	mutual := start(t, c)

	own := func(a *authority) tls.Certificate {
		cert, key := a.pems(t, "client")
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	stranger := newAuthority(t)
	for name, c := range map[string]struct {
		server *running
		client *tls.Config
		works  bool
	}{
		"TLS 1.1":                         {plain, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		"TLS 1.2":                         {plain, &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		"TLS 1.3":                         {plain, &tls.Config{MinVersion: tls.VersionTLS13}, true},
		"mutual, no certificate":          {mutual, &tls.Config{}, false},
		"mutual, TLS 1.2, no certificate": {mutual, &tls.Config{MaxVersion: tls.VersionTLS12}, false},
		"mutual, a certificate of another authority": {mutual, &tls.Config{Certificates: []tls.Certificate{own(stranger)}}, false},
		"mutual, a certificate":                      {mutual, &tls.Config{Certificates: []tls.Certificate{own(ca)}}, true},
	} {
		c.client.RootCAs = ca.pool
		for protocol, address := range map[string]string{"dcb": c.server.DCB, "umadb": c.server.UmaDB, "http": c.server.HTTP} {
			if got, err := certificateName(t, address, c.client); (err == nil) != c.works {
				t.Errorf("%s, %s: certificate %q, %v; want success %v", name, protocol, got, err, c.works)
			}
		}
	}
}

func TestRunServesWithClientCertificatesAndKeys(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef"
	dir, ca := t.TempDir(), newAuthority(t)
	c := config(memstore.New(nil))
	c.TLSCert, c.TLSKey = ca.files(t, dir, "server")
	c.TLSClientCA, c.KeysFile = ca.file(t, dir), filepath.Join(dir, "keys")
	write(t, c.KeysFile, []byte("ann read "+key))
	c.DCB, c.UmaDB, c.HTTP = "0.0.0.0:0", "0.0.0.0:0", "0.0.0.0:0" // allowed with TLS and keys
	r := start(t, c)
	certPEM, keyPEM := ca.pems(t, "client")
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	client := &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{pair}}
	here := func(address string) string {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		return "127.0.0.1:" + port
	}
	over, err := dcbnet.Dial(t.Context(), here(r.DCB), &dcbnet.ClientOptions{Key: key, TLS: client})
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	if head, err := over.Head(t.Context()); head != 0 || err != nil {
		t.Errorf("Head = %d, %v, want 0", head, err)
	}
	for secret, want := range map[string]int{key: http.StatusOK, "": http.StatusUnauthorized} {
		if got, _ := get(t, secureClient(t, client), "https://"+here(r.HTTP)+"/head", secret); got != want {
			t.Errorf("status with key %q is %d, want %d", secret, got, want)
		}
	}
}

func TestReloadReplacesCertificatesUnlessAFileIsInvalid(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), newAuthority(t)
	c := config(memstore.New(nil))
	c.TLSCert, c.TLSKey = ca.files(t, dir, "server")
	r := start(t, c)
	check := func(when, want string) {
		t.Helper()
		for _, address := range []string{r.DCB, r.UmaDB, r.HTTP} {
			if got, err := certificateName(t, address, &tls.Config{RootCAs: ca.pool}); got != want || err != nil {
				t.Errorf("%s: certificate %q, %v, want %q", when, got, err, want)
			}
		}
	}
	check("at first", "server")
	newCert, newKey := ca.pems(t, "renewed")
	write(t, c.TLSCert, newCert) // not yet its key
	r.hangup()
	check("with the new certificate and the old key", "server")
	r.logs("level=ERROR msg=\"cannot reload the certificate")
	write(t, c.TLSKey, newKey)
	r.hangup()
	check("with the new certificate and its key", "renewed")
	r.logs("the certificate expires soon")
	_, metrics := get(t, secureClient(t, &tls.Config{RootCAs: ca.pool}), "https://"+r.HTTP+"/metrics", "")
	if !strings.Contains(metrics, "dcb_tls_certificate_expiry_timestamp_seconds 1.") || !strings.Contains(metrics, "dcb_config_last_reload_successful 1") {
		t.Error("the metrics do not report the reload and the expiry")
	}
}

func TestStopClosesUnfinishedTLSHandshakes(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	c := config(memstore.New(nil))
	c.TLSCert, c.TLSKey = ca.files(t, t.TempDir(), "server")
	c.StopTimeout = 100 * time.Millisecond
	r := start(t, c)
	for _, address := range []string{r.DCB, r.UmaDB, r.HTTP} {
		conn, err := (&net.Dialer{}).DialContext(context.WithoutCancel(t.Context()), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	r.stop()
	if err := r.await(); err != nil {
		t.Error(err)
	}
}
