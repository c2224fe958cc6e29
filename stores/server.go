package stores

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/dcbstore/dcb/dcbnet"
	"github.com/dcbstore/dcb/umadb"
)

// KeyVariable is the environment variable with the key for a server, so that it need not be in a
// URL.
const KeyVariable = "DCB_KEY"

// Default ports of servers.
const (
	dcbPort   = "7322"
	umadbPort = "50051"
)

// server is what the URL of a server contains.
type server struct {
	addresses []string // host:port
	key       string
	tls       *tls.Config // nil: no TLS
}

func openServer(ctx context.Context, address string) (Store, error) {
	s, err := parseServer(address, dcbPort)
	if err != nil {
		return nil, err
	}
	return s.dialDCB(ctx, address)
}

func openUNIX(ctx context.Context, address string) (Store, error) {
	parsed, err := parseURL(address)
	if err != nil {
		return nil, err
	}
	if parsed.Host != "" || !filepath.IsAbs(parsed.Path) || parsed.Fragment != "" || strings.Contains(parsed.Path, ",") {
		return nil, wrong("%q names no UNIX socket; one is named as dcb+unix:///PATH", Redact(address))
	}
	if parsed.RawQuery != "" {
		return nil, wrong("%q has parameters; a UNIX socket has none", Redact(address))
	}
	s := &server{addresses: []string{"unix:" + parsed.Path}}
	if s.key, err = keyOf(parsed); err != nil {
		return nil, err
	}
	return s.dialDCB(ctx, address)
}

func (s *server) dialDCB(ctx context.Context, address string) (Store, error) {
	client, err := dcbnet.Dial(ctx, strings.Join(s.addresses, ","), &dcbnet.ClientOptions{Key: s.key, TLS: s.tls})
	if err != nil {
		return nil, fmt.Errorf("stores: open %s: %w", Redact(address), err)
	}
	return client, nil
}

func openUmaDB(ctx context.Context, address string) (Store, error) {
	s, err := parseServer(address, umadbPort)
	if err != nil {
		return nil, err
	}
	if len(s.addresses) > 1 {
		return nil, wrong("%q names several hosts; dcb+umadb:// takes one", Redact(address))
	}
	client, err := umadb.Dial(ctx, s.addresses[0], &umadb.ClientOptions{Key: s.key, TLS: s.tls})
	if err != nil {
		return nil, fmt.Errorf("stores: open %s: %w", Redact(address), err)
	}
	return client, nil
}

// parseServer parses the URL of one or several servers, as
// scheme://:KEY@host:port,host:port?tls=on.
func parseServer(address, defaultPort string) (*server, error) {
	scheme, rest, _ := strings.Cut(address, ":")
	authority, isThere := strings.CutPrefix(rest, "//")
	if !isThere {
		return nil, namesNoServer(address, scheme)
	}
	tail := ""
	if i := strings.IndexAny(authority, "/?#"); i >= 0 {
		authority, tail = authority[:i], authority[i:]
	}
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i+1], authority[i+1:]
	}
	// Package url does not accept a list of hosts, so each is parsed as a URL of its own.
	s := &server{}
	for host := range strings.SplitSeq(hosts, ",") {
		parsed, err := parseURL(scheme + "://" + user + host + tail)
		if err != nil {
			return nil, err
		}
		if parsed.Hostname() == "" || parsed.Path != "" && parsed.Path != "/" || parsed.Fragment != "" {
			return nil, namesNoServer(address, scheme)
		}
		port := parsed.Port()
		if port == "" {
			port = defaultPort
		}
		s.addresses = append(s.addresses, net.JoinHostPort(parsed.Hostname(), port))
		if s.key, err = keyOf(parsed); err != nil {
			return nil, err
		}
		if s.tls, err = parseParameters(parsed, address); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func parseURL(address string) (*url.URL, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		// The cause is left out: it quotes the part that is wrong, and that may be the key.
		return nil, wrong("%q is not a URL; %s", Redact(address), hint())
	}
	return parsed, nil
}

func namesNoServer(address, scheme string) error {
	return wrong("%q names no server; one is named as %s://host:port", Redact(address), scheme)
}

// keyOf returns the key in a server's URL, or the one in the environment.
func keyOf(parsed *url.URL) (string, error) {
	if parsed.User == nil {
		return strings.TrimSpace(os.Getenv(KeyVariable)), nil
	}
	key, ok := parsed.User.Password()
	if !ok {
		// What is before the @ is left out: it may be the key.
		return "", wrong("a name before @%s and no key; a key is written %s://:KEY@host, or put into $%s",
			parsed.Host, parsed.Scheme, KeyVariable)
	}
	return strings.TrimSpace(key), nil
}

// parseParameters returns the TLS configuration that the parameters of a server's URL describe,
// or nil for no TLS.
func parseParameters(parsed *url.URL, address string) (*tls.Config, error) {
	parameters, err := url.ParseQuery(parsed.RawQuery)
	if err != nil {
		return nil, wrong("the parameters of %q cannot be read; they are written ?name=value&name=value", Redact(address))
	}
	for name, values := range parameters {
		if len(values) > 1 {
			return nil, wrong("%s is given more than once", name)
		}
		switch name {
		case "tls", "ca", "cert", "certkey":
		default:
			return nil, wrong("the parameter %s is unknown; there are tls, ca, cert and certkey", name)
		}
	}
	return parseTLS(parameters)
}

func parseTLS(parameters url.Values) (*tls.Config, error) {
	switch value := parameters.Get("tls"); {
	case !parameters.Has("tls") && len(parameters) > 0:
		return nil, wrong("ca, cert and certkey mean nothing without tls=on")
	case !parameters.Has("tls"):
		return nil, nil
	case value == "off" && len(parameters) > 1:
		return nil, wrong("ca, cert and certkey mean nothing with tls=off")
	case value == "off":
		return nil, nil
	case value != "on":
		return nil, wrong("tls=%s is unknown; it is on or off", value)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if parameters.Has("ca") {
		pem, err := os.ReadFile(parameters.Get("ca"))
		if err != nil {
			return nil, wrong("ca: %v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, wrong("ca: there is no certificate in %s; it must be a PEM file", parameters.Get("ca"))
		}
	}
	certificate, key := parameters.Get("cert"), parameters.Get("certkey")
	if (certificate == "") != (key == "") {
		return nil, wrong("cert and certkey come together: the files of the client's certificate and of its private key")
	}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, wrong("cert: %v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
