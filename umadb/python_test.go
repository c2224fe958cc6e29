package umadb

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
)

// Tests with the published Python clients, in the virtual environment of .ci/python.

// python runs a script of testdata/python.
func python(t *testing.T, script string, args ...string) {
	t.Helper()
	var stderr strings.Builder
	find := exec.CommandContext(t.Context(), "bash", filepath.FromSlash("../.ci/python"))
	find.Stderr = &stderr
	interpreter, err := find.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	run := exec.CommandContext(t.Context(), strings.TrimSpace(string(interpreter)), append([]string{filepath.Join("testdata", "python", script)}, args...)...)
	run.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	output, err := run.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", script, err, output)
	}
}

func TestServerWithUmaDBsPythonClient(t *testing.T) {
	t.Parallel()
	const key, readKey = "a key to append with", "a key to read with"
	keys := auth.NewKeys(auth.NewKey("both", auth.Read|auth.Append, key), auth.NewKey("reader", auth.Read, readKey))
	forEachKind(t, func(t *testing.T, store dcb.Store) {
		certificate, caFile := newCertificate(t)
		s := serveTCP(t, store, ServerOptions{Keys: keys, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}})
		_, port, err := net.SplitHostPort(s.address)
		if err != nil {
			t.Fatal(err)
		}
		python(t, "client.py", "https://localhost:"+port, caFile, key, readKey)
	})
}

func TestServerWithThePythonLibraryEventsourcing(t *testing.T) {
	t.Parallel()
	forEachKind(t, func(t *testing.T, store dcb.Store) {
		python(t, "library.py", "http://"+serveTCP(t, store, ServerOptions{}).address)
	})
}

// newCertificate returns a certificate for localhost, and the file of the authority that signed
// it.
func newCertificate(t testing.TB) (certificate tls.Certificate, caFile string) {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caBytes, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	bytes, err := x509.CreateCertificate(rand.Reader, server, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caBytes}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{bytes}, PrivateKey: key}, caFile
}
