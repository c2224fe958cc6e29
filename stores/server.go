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
	if err := setParameters(opts, parsed, address); err != nil {
		return "", nil, err
	}
	return net.JoinHostPort(parsed.Hostname(), port), opts, nil
}

// setParameters sets what the parameters of a server's URL say: whether sessions go over gRPC, and how the connection is encrypted.
func setParameters(opts *dcbgrpc.ClientOptions, parsed *url.URL, address string) error {
	parameters, err := url.ParseQuery(parsed.RawQuery)
	if err != nil {
		return wrong("the parameters of %q cannot be read; they are written ?name=value&name=value", Redact(address))
	}
	for name, values := range parameters {
		if len(values) > 1 {
			return wrong("%s is given more than once", name)
		}
		switch name {
		case "tls", "ca", "cert", "certkey":
		case "over":
			if values[0] != "grpc" || parsed.Scheme != "dcb" {
				return wrong("over=%s is unknown; it is over=grpc, of a URL dcb://", values[0])
			}
			opts.OverGRPC = true
			parameters.Del(name)
		default:
			return wrong("the parameter %s is unknown; there are tls, ca, cert, certkey and over", name)
		}
	}
	opts.TLS, err = serverTLS(parameters)
	return err
}

// serverTLS returns how parameters want the connection encrypted; nil for not at all.
func serverTLS(parameters url.Values) (*tls.Config, error) {
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
			return nil, wrong("ca: there is no certificate in %s; it is a file in PEM form", parameters.Get("ca"))
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
