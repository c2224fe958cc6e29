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

// The defaults of a server.
const (
	DefaultDCB         = "127.0.0.1:7322"
	DefaultUmaDB       = "127.0.0.1:50051"
	DefaultHTTP        = "127.0.0.1:8080"
	DefaultStopTimeout = 20 * time.Second
)

// Config is the configuration of a server. Zero values mean the defaults of the protocols' packages.
type Config struct {
	// Store is the URL of the store, and Open opens it.
	Store string
	Open  func(context.Context) (stores.Store, error)

	// DCB, UmaDB, HTTP and Pprof are the addresses to listen on: host:port, or for DCB also unix:PATH.
	// Empty or "off" switches a listener off.
	DCB, UmaDB, HTTP, Pprof string

	// TLSCert and TLSKey are files in PEM; without them there is no TLS. With TLSClientCA clients too need a certificate, of that authority.
	TLSCert, TLSKey, TLSClientCA string
	// KeysFile has the keys, as auth.ParseKeys reads them. Without it everyone may do everything.
	KeysFile string
	// Insecure allows to be reached from other machines without TLS and keys.
	Insecure bool

	Limits    wire.Limits
	Keepalive time.Duration
	// StopTimeout is how long calls under way may go on after the stop was asked for. Default: [DefaultStopTimeout].
	StopTimeout time.Duration
	// Origins are those that browsers may call from.
	Origins []string

	Build observe.Build
	// Log is told what happens. Default: nobody is.
	Log *slog.Logger
	// Ready is told the addresses once everything answers. Default: nobody is.
	Ready func(Addresses)
	// Hangups are the signals to read keys and certificates again. Default: SIGHUP, where there is such a thing.
	Hangups <-chan os.Signal

	flushTimeout time.Duration // 0: the constant; longer for a test that wants every trace
}

// Addresses are where a server really listens; empty where it does not.
type Addresses struct {
	DCB   string `json:"dcb,omitempty"`
	UmaDB string `json:"umadb,omitempty"`
	HTTP  string `json:"http,omitempty"`
	Pprof string `json:"pprof,omitempty"`
}

// Refusal is the error of what a server was told to do and should not, or cannot. Nothing was done.
type Refusal struct{ Problem, Hint string }

func (r *Refusal) Error() string { return r.Problem }

func refuse(hint, format string, args ...any) error {
	return &Refusal{Problem: fmt.Sprintf(format, args...), Hint: hint}
}

// isOff reports whether an address says that nothing is to listen.
func isOff(address string) bool { return address == "" || address == "off" }

// check completes the configuration, and refuses what cannot be right.
func (c *Config) check() (err error) {
	c.withDefaults()
	switch {
	case isOff(c.DCB) && isOff(c.UmaDB) && isOff(c.HTTP):
		return refuse("give --dcb, --umadb or --http an address", "--dcb, --umadb and --http are all off; there is nothing to serve")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return refuse("give --tls-cert and --tls-key together", "a certificate and its key belong together")
	case c.TLSClientCA != "" && c.TLSCert == "":
		return refuse("give --tls-cert and --tls-key as well", "--tls-client-ca asks clients for certificates, which takes TLS")
	case c.StopTimeout < 0:
		return refuse("give --stop-timeout as in 20s", "--stop-timeout is %v; it is positive", c.StopTimeout)
	case c.Keepalive < 0:
		return refuse("give --keepalive as in 20s", "--keepalive is %v; it is positive", c.Keepalive)
	}
	if c.Limits, err = c.Limits.WithDefaults("Limits"); err != nil {
		return refuse("see dcbstore help serve for the flags of limits", "%v", err)
	}
	return nil
}

// secured says what is missing for being reached from other machines; nothing if it is all there. The certificates of clients do what keys do.
func (c *Config) missing() string {
	var missing []string
	if c.TLSCert == "" {
		missing = append(missing, "TLS")
	}
	if c.KeysFile == "" && c.TLSClientCA == "" {
		missing = append(missing, "keys")
	}
	return strings.Join(missing, " and ")
}

// mayListen refuses an address that other machines reach, if nothing protects what is behind it.
func (c *Config) mayListen(flag string, address *net.TCPAddr) error {
	if address.IP.IsLoopback() {
		return nil
	}
	missing := c.missing()
	if missing == "" {
		return nil
	}
	if c.Insecure {
		c.Log.Warn("this can be reached from other machines, and nothing protects it (--insecure)", "flag", flag, "address", address.String(), "missing", missing)
		return nil
	}
	return refuse("give --tls-cert, --tls-key and --keys, or listen on 127.0.0.1; if something else protects it, say --insecure",
		"%s %s can be reached from other machines, and without %s %s", flag, address, missing, dangerOf(c))
}

func dangerOf(c *Config) string {
	if c.KeysFile == "" && c.TLSClientCA == "" {
		return "whoever reaches it can read and append everything"
	}
	return "keys and events can be read on their way"
}
