package stores

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"

	"github.com/dcbstore/dcb/dcbgrpc"
)

// KeyVariable is the environment variable that holds the key for a server, so that it need not be in a URL.
const KeyVariable = "DCB_KEY"

// defaultPort is the port of a server where its URL names none.
const defaultPort = "50051"

func openServer(ctx context.Context, address string) (Store, error) {
	host, opts, err := serverURL(address)
	if err != nil {
		return nil, err
	}
	client, err := dcbgrpc.Dial(ctx, host, opts)
	if err != nil {
		return nil, fmt.Errorf("stores: open %s: %w", Redact(address), err)
	}
	return client, nil
}

func openUmaDB(ctx context.Context, address string) (Store, error) {
	host, opts, err := serverURL(address)
	if err != nil {
		return nil, err
	}
	client, err := dcbgrpc.DialUmaDB(ctx, host, opts)
	if err != nil {
		return nil, fmt.Errorf("stores: open %s: %w", Redact(address), err)
	}
	return client, nil
}

// serverURL returns what the URL of a server says.
func serverURL(address string) (host string, opts *dcbgrpc.ClientOptions, err error) {
	parsed, err := url.Parse(address)
	if err != nil {
		// The cause is left out, for it quotes the very part of the URL that is wrong, and that may be the key.
		return "", nil, wrong("%q is not a URL; %s", Redact(address), hint())
	}
	if parsed.Hostname() == "" || parsed.Opaque != "" || parsed.Path != "" && parsed.Path != "/" || parsed.Fragment != "" {
		return "", nil, wrong("%q names no server; one is named as %s://host:port", Redact(address), parsed.Scheme)
	}
	port := parsed.Port()
	if port == "" {
		port = defaultPort
	}
	opts = &dcbgrpc.ClientOptions{Key: os.Getenv(KeyVariable)}
	if parsed.User != nil {
		key, ok := parsed.User.Password()
		if !ok {
			// What is before the @ is left out, for it may be the key.
			return "", nil, wrong("a name before @%s and no key; a key is written %s://:KEY@host, or put into $%s", parsed.Host, parsed.Scheme, KeyVariable)
		}
		opts.Key = key
	}
	if opts.TLS, err = serverTLS(parsed, address); err != nil {
		return "", nil, err
	}
	return net.JoinHostPort(parsed.Hostname(), port), opts, nil
}

// serverTLS returns how the parameters of a server's URL want the connection encrypted; nil for not at all.
func serverTLS(parsed *url.URL, address string) (*tls.Config, error) {
	parameters, err := url.ParseQuery(parsed.RawQuery)
	if err != nil {
		return nil, wrong("the parameters of %q cannot be read; they are written ?name=value&name=value", Redact(address))
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	var on bool
	var certificate, key string
	for name, values := range parameters {
		if len(values) > 1 {
			return nil, wrong("%s is given more than once", name)
		}
		switch value := values[0]; name {
		case "tls":
			if value != "on" && value != "off" {
				return nil, wrong("tls=%s is unknown; it is on or off", value)
			}
			on = value == "on"
		case "ca":
			pem, err := os.ReadFile(value)
			if err != nil {
				return nil, wrong("ca: %v", err)
			}
			config.RootCAs = x509.NewCertPool()
			if !config.RootCAs.AppendCertsFromPEM(pem) {
				return nil, wrong("ca: there is no certificate in %s; it is a file in PEM form", value)
			}
		case "cert":
			certificate = value
		case "certkey":
			key = value
		default:
			return nil, wrong("the parameter %s is unknown; there are tls, ca, cert and certkey", name)
		}
	}
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
	if !on && len(parameters) > 0 {
		if parameters.Get("tls") == "" {
			return nil, wrong("ca, cert and certkey mean nothing without tls=on")
		}
		if len(parameters) > 1 {
			return nil, wrong("ca, cert and certkey mean nothing with tls=off")
		}
	}
	if !on {
		return nil, nil
	}
	return config, nil
}
