package serve

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/dcbstore/dcb/cmd/dcbstore/internal/observe"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/stores"
)

// Defaults of [Config].
const (
	DefaultDCB         = "127.0.0.1:7322"
	DefaultUmaDB       = "127.0.0.1:50051"
	DefaultHTTP        = "127.0.0.1:8080"
	DefaultStopTimeout = 20 * time.Second
)

// Config is the configuration of a server. Zero values mean the defaults of the packages dcbnet,
// umadb and dcbhttp, except where a field names another default.
type Config struct {
	// Store is the URL of the store. The log shows it without its password.
	Store string
	// Open opens the store. The server closes it.
	Open func(context.Context) (stores.Store, error)

	// DCB, UmaDB, HTTP and Pprof are the addresses to listen on: host:port, or for DCB also unix:PATH.
	// Empty or "off" switches a listener off.
	DCB, UmaDB, HTTP, Pprof string

	// TLSCert and TLSKey are PEM files with the certificate and its private key. Without them there
	// is no TLS. TLSClientCA is a PEM file with authorities: clients then need a certificate that one
	// of them has signed.
	TLSCert, TLSKey, TLSClientCA string
	// KeysFile is a file in the format of auth.ParseKeys. Without it no caller needs a key.
	KeysFile string
	// Insecure allows addresses that other machines can reach, without TLS or keys.
	Insecure bool

	Limits wire.Limits
	// Keepalive is the silence after which the server pings a connection of UmaDB's protocol.
	Keepalive time.Duration
	// StopTimeout bounds the time that calls under way have to finish after the stop. Default
	// [DefaultStopTimeout].
	StopTimeout time.Duration
	// Origins are the origins of pages that can call from browsers.
	Origins []string

	Build observe.Build
	// Log receives the log of the server. Default [slog.DiscardHandler].
	Log *slog.Logger
	// Ready is called with the addresses when all listeners accept calls. Default nil: not called.
	Ready func(Addresses)
	// Hangups makes the server reload keys and certificates at each value. Default: SIGHUP on UNIX.
	Hangups <-chan os.Signal

	flushTimeout time.Duration // 0: the constant; longer in a test that needs every trace
}

// Addresses are the addresses that a server listens on. An empty one means that the listener is off.
type Addresses struct {
	DCB   string `json:"dcb,omitempty"`
	UmaDB string `json:"umadb,omitempty"`
	HTTP  string `json:"http,omitempty"`
	Pprof string `json:"pprof,omitempty"`
}

// Refusal is an error of the configuration: it is invalid or unsafe. The store was not opened, except
// for an invalid origin.
type Refusal struct{ Problem, Hint string }

func (r *Refusal) Error() string { return r.Problem }

func refuse(hint, format string, args ...any) error {
	return &Refusal{Problem: fmt.Sprintf(format, args...), Hint: hint}
}

// isOff reports whether an address switches its listener off.
func isOff(address string) bool { return address == "" || address == "off" }

// check sets defaults and returns a [*Refusal] if the configuration is invalid.
func (c *Config) check() (err error) {
	c.withDefaults()
	switch {
	case isOff(c.DCB) && isOff(c.UmaDB) && isOff(c.HTTP):
		return refuse("give --dcb, --umadb or --http an address", "--dcb, --umadb and --http are all off; the server has no listener")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return refuse("give both --tls-cert and --tls-key", "only one of --tls-cert and --tls-key is given; TLS needs both")
	case c.TLSClientCA != "" && c.TLSCert == "":
		return refuse("give --tls-cert and --tls-key, too", "--tls-client-ca needs TLS")
	case c.StopTimeout < 0:
		return refuse("give a time, for example 20s", "--stop-timeout is %v; it must be positive", c.StopTimeout)
	case c.Keepalive < 0:
		return refuse("give a time, for example 20s", "--keepalive is %v; it must be positive", c.Keepalive)
	}
	if c.Limits, err = c.Limits.WithDefaults("Limits"); err != nil {
		return refuse("dcbstore help serve lists the flags of the limits", "%v", err)
	}
	return nil
}

// missingProtection returns what the server lacks to be reached from other machines safely: TLS, keys
// or both. It returns "" if it lacks neither. Client certificates count as keys.
func (c *Config) missingProtection() string {
	var missing []string
	if c.TLSCert == "" {
		missing = append(missing, "TLS")
	}
	if c.KeysFile == "" && c.TLSClientCA == "" {
		missing = append(missing, "keys")
	}
	return strings.Join(missing, " and ")
}

// checkAddress refuses an address that other machines can reach, unless the server has TLS and keys.
func (c *Config) checkAddress(flag string, address *net.TCPAddr) error {
	if address.IP.IsLoopback() {
		return nil
	}
	missing := c.missingProtection()
	if missing == "" {
		return nil
	}
	if c.Insecure {
		c.Log.Warn("other machines can reach this address without protection (--insecure)",
			"flag", flag, "address", address.String(), "missing", missing)
		return nil
	}
	return refuse(
		"give --tls-cert, --tls-key and --keys, or listen on 127.0.0.1; if something else protects the server, give --insecure",
		"%s %s can be reached from other machines; without %s %s", flag, address, missing, c.risk())
}

// risk returns what can happen without protection, as the end of an error.
func (c *Config) risk() string {
	if c.KeysFile == "" && c.TLSClientCA == "" {
		return "any caller can read and append"
	}
	return "keys and events can be read on the network"
}
