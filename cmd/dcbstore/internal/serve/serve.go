// Package serve is the server of the command dcbstore: one store, a listener for each protocol, and
// what a process needs that runs for years.
//
// [Run] is its whole life. It refuses an unsafe configuration (config.go), reads keys and certificates
// (keys.go, tls.go), listens (listen.go), opens the store and serves it (endpoints.go, http.go,
// pprof.go). SIGHUP reloads keys and certificates. At the end it waits for calls and closes the store.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/cmd/dcbstore/internal/observe"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/stores"
)

// flushTimeout bounds the time for sending the last traces at the end.
const flushTimeout = 5 * time.Second

// server is a running server.
type server struct {
	Config
	keys      *auth.Keys    // nil: callers need no key
	certs     *certificates // nil: no TLS
	metrics   *observe.Metrics
	traces    *observe.Traces
	calls     *observe.Calls
	store     stores.Store
	observed  dcb.Store // the store with metrics and traces; the endpoints use it
	endpoints []*endpoint

	stopping atomic.Bool
}

// Run serves the store until ctx ends, and then returns nil, or until a listener fails. It closes the
// store last. Errors: a [*Refusal] of the configuration, and errors of the store and the network.
func Run(ctx context.Context, config Config) error {
	hangups, stopSignals := hangups() // first: by default the signal ends the process
	defer stopSignals()
	if config.Hangups != nil {
		hangups = config.Hangups
	}
	s := &server{Config: config}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	defer s.flush(ctx)
	listeners, err := s.listen()
	if err != nil {
		return err
	}
	if err := s.openStore(ctx, listeners); err != nil {
		listeners.close()
		return err
	}
	return errors.Join(s.serve(ctx, hangups), s.closeStore())
}

// prepare checks the configuration and reads keys and certificates. It uses neither network nor store.
func (s *server) prepare(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	s.metrics = observe.New(s.Build)
	if s.KeysFile != "" {
		keys, err := s.readKeys()
		if err != nil {
			return err
		}
		s.keys = auth.NewKeys(keys...)
	}
	if s.TLSCert != "" {
		s.certs = &certificates{cert: s.TLSCert, key: s.TLSKey, clientCA: s.TLSClientCA}
		if err := s.certs.read(); err != nil {
			return refuse("--tls-cert, --tls-key and --tls-client-ca are PEM files", "%v", err)
		}
		s.metrics.Certificate(s.certs.expires)
		s.warnOfCertificate()
	}
	traces, err := observe.TracesFromEnv(ctx, os.Getenv, s.Build, s.Log)
	if err != nil {
		return refuse("opentelemetry.io/docs/languages/sdk-configuration describes the variables", "%v", err)
	}
	s.traces = traces
	return nil
}

// openStore opens the store and makes the endpoints. After an error only the listeners are open.
func (s *server) openStore(ctx context.Context, listeners listeners) error {
	s.Log.Info("opening the store", "store", stores.Redact(s.Store))
	store, err := s.Open(ctx)
	if err != nil {
		return err
	}
	s.store = store
	s.observed = s.metrics.Store(store, s.traces.Tracer())
	if disk, ok := store.(*diskstore.Store); ok {
		if dir, err := stores.Dir(s.Store); err == nil {
			s.metrics.Disk(disk, dir)
		}
	}
	s.calls = s.metrics.Calls(s.Log, s.traces.Tracer())
	if err := s.makeEndpoints(listeners); err != nil {
		return errors.Join(err, store.Close())
	}
	return nil
}

// serve runs the endpoints until ctx ends or one of them fails, and then stops all.
func (s *server) serve(ctx context.Context, hangups <-chan os.Signal) error {
	failed := make(chan error, len(s.endpoints))
	var serving sync.WaitGroup
	for _, e := range s.endpoints {
		serving.Go(func() {
			if err := e.serve(e.listener); err != nil {
				failed <- fmt.Errorf("serve: %s on %s: %w", e.name, e.listener.Addr(), err)
			}
		})
	}
	s.announce()
	err := s.await(ctx, hangups, failed)
	s.stop(ctx)
	serving.Wait()
	return err
}

// announce reports that all listeners accept calls: to the log, to Ready and to systemd.
func (s *server) announce() {
	var a Addresses
	for _, e := range s.endpoints {
		address := e.listener.Addr().String()
		if e.listener.Addr().Network() == "unix" {
			address = "unix:" + address
		}
		switch e.name {
		case dcbEndpoint:
			a.DCB = address
		case umadbEndpoint:
			a.UmaDB = address
		case httpEndpoint:
			a.HTTP = address
		case pprofEndpoint:
			a.Pprof = address
		}
		s.Log.Info("listening", "wire", e.name, "address", address, "tls", s.certs != nil && e.name != pprofEndpoint,
			"keys", s.keys != nil && e.name != pprofEndpoint)
	}
	s.Log.Info("ready", "version", s.Build.Version, "go", runtime.Version(),
		"store", stores.Redact(s.Store), "traces", s.traces != nil)
	if s.Ready != nil {
		s.Ready(a)
	}
	s.notifySystemd("READY=1")
}

// await returns when ctx ends or an endpoint fails. Until then it reloads at each hangup.
func (s *server) await(ctx context.Context, hangups <-chan os.Signal, failed <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			s.Log.Info("stopping; waiting for the calls under way", "timeout", s.StopTimeout)
			return nil
		case err := <-failed:
			s.Log.Error("stopping; a listener failed", "cause", err.Error())
			return err
		case <-hangups:
			s.reload()
		}
	}
}

// stop waits for the calls under way on all endpoints. After StopTimeout it cuts off the rest.
func (s *server) stop(ctx context.Context) {
	s.stopping.Store(true) // /readyz fails from now on
	s.notifySystemd("STOPPING=1")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.StopTimeout)
	defer cancel()
	var stopping sync.WaitGroup
	for _, e := range s.endpoints {
		stopping.Go(func() {
			defer context.AfterFunc(ctx, e.cut)()
			if err := e.shutdown(ctx); err != nil {
				s.Log.Warn("cut off calls that had not finished", "wire", e.name, "timeout", s.StopTimeout)
			}
			e.close()
		})
	}
	stopping.Wait()
}

func (s *server) closeStore() error {
	if err := s.store.Close(); err != nil {
		return err
	}
	s.Log.Info("stopped; the store is closed")
	return nil
}

// flush sends the last traces.
func (s *server) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.flushTimeout)
	defer cancel()
	if err := s.traces.Shutdown(ctx); err != nil {
		s.Log.Warn("cannot send the last traces", "cause", err.Error())
	}
}

// readiness returns an error if the server is stopping or the store does not answer in two seconds.
func (s *server) readiness(ctx context.Context) error {
	if s.stopping.Load() {
		return errStopping
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := s.observed.Head(ctx)
	return err
}

var errStopping = errors.New("serve: the server is stopping")

// reload reloads keys and certificates. A file that is invalid changes nothing.
func (s *server) reload() {
	if s.keys == nil && s.certs == nil {
		s.Log.Info("nothing to reload: the server has neither keys nor certificates")
		return
	}
	var err error
	if s.keys != nil {
		keys, keysErr := s.readKeys()
		if keysErr == nil {
			s.keys.Replace(keys)
			s.Log.Info("reloaded the keys", "file", s.KeysFile, "keys", len(keys))
		} else {
			err = keysErr
			s.Log.Error("cannot reload the keys; the previous ones stay in use", "file", s.KeysFile, "cause", keysErr.Error())
		}
	}
	if s.certs != nil {
		if certErr := s.certs.read(); certErr == nil {
			s.Log.Info("reloaded the certificate", "file", s.TLSCert, "expires", s.certs.expires())
			s.warnOfCertificate()
		} else {
			err = errors.Join(err, certErr)
			s.Log.Error("cannot reload the certificate; the previous one stays in use", "cause", certErr.Error())
		}
	}
	s.metrics.Reloaded(err)
}

// warnOfCertificate logs a warning if the certificate expires soon, or if every user can read its key.
func (s *server) warnOfCertificate() {
	s.warnOfMode(s.TLSKey)
	switch left := time.Until(s.certs.expires()); {
	case left < 0:
		s.Log.Warn("the certificate has expired", "file", s.TLSCert, "expires", s.certs.expires())
	case left < expiryWarning:
		s.Log.Warn("the certificate expires soon", "file", s.TLSCert, "expires", s.certs.expires())
	}
}

// expiryWarning is the time before the expiry of a certificate from which on a warning is logged.
const expiryWarning = 14 * 24 * time.Hour

// warnOfMode logs a warning if the mode of a file with a secret lets every user read it. The file is
// used nevertheless: its directory can protect it.
func (s *server) warnOfMode(path string) {
	if runtime.GOOS == "windows" {
		return // the mode does not describe permissions there
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		s.Log.Warn("the mode of this file lets every user read it; use chmod o-r", "file", path, "mode", info.Mode().Perm().String())
	}
}

// withDefaults sets the fields that are zero.
func (c *Config) withDefaults() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = DefaultStopTimeout
	}
	if c.flushTimeout == 0 {
		c.flushTimeout = flushTimeout
	}
}
