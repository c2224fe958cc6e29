// Package serve is the server of the command dcb: a store, the two wires that it is reached by, and what a process needs that runs for years.
//
// [Run] is the whole of its life: it refuses what would be unsafe (config.go), reads keys and certificates (keys.go, tls.go), listens
// (listen.go), opens the store, serves (wires.go), reads keys and certificates again when it is told to, and stops in good order.
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

// flushTimeout is how long the traces of the last calls may take to be sent at the end.
const flushTimeout = 5 * time.Second

// server is a server that runs.
type server struct {
	Config
	keys      *auth.Keys    // nil: everyone may do everything
	certs     *certificates // nil: no TLS
	metrics   *observe.Metrics
	traces    *observe.Traces
	calls     *observe.Calls
	store     stores.Store
	watched   dcb.Store // the store as the wires see it
	endpoints []*endpoint

	stopping atomic.Bool
}

// Run serves until ctx ends, which is a requested stop and no error, or until something breaks. The store is closed last. Errors: a
// [*Refusal] of what should not be done, what the store says, and what the network says.
func Run(ctx context.Context, config Config) error {
	hangups, ignore := hangups() // first of all: by default the signal ends the process
	defer ignore()
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
	if err := s.begin(ctx, listeners); err != nil {
		listeners.close()
		return err
	}
	return errors.Join(s.serve(ctx, hangups), s.closeStore())
}

// prepare does everything that touches neither network nor store.
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
			return refuse("the certificate, its key and the CA of clients are files in PEM", "%v", err)
		}
		s.metrics.Certificate(s.certs.expires)
		s.adviseOnCertificate()
	}
	traces, err := observe.TracesFromEnv(ctx, os.Getenv, s.Build, s.Log)
	if err != nil {
		return refuse("the variables are those of OpenTelemetry; see opentelemetry.io/docs/languages/sdk-configuration", "%v", err)
	}
	s.traces = traces
	return nil
}

// begin opens the store and makes the wires. Where it fails it leaves nothing open but the listeners.
func (s *server) begin(ctx context.Context, listeners listeners) error {
	s.Log.Info("opening the store; one that was not closed is looked through first", "store", stores.Redact(s.Store))
	store, err := s.Open(ctx)
	if err != nil {
		return err
	}
	s.store = store
	s.watched = s.metrics.Store(store, s.traces.Tracer())
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

// serve runs the wires until ctx ends or one of them fails, and then stops all.
func (s *server) serve(ctx context.Context, hangups <-chan os.Signal) error {
	failed := make(chan error, len(s.endpoints))
	var serving sync.WaitGroup
	for _, w := range s.endpoints {
		serving.Go(func() {
			if err := w.serve(w.listener); err != nil {
				failed <- fmt.Errorf("serve: %s on %s: %w", w.name, w.listener.Addr(), err)
			}
		})
	}
	s.announce()
	err := s.attend(ctx, hangups, failed)
	s.stop(ctx)
	serving.Wait()
	return err
}

// announce says that everything answers.
func (s *server) announce() {
	var a Addresses
	for _, w := range s.endpoints {
		address := w.listener.Addr().String()
		if w.listener.Addr().Network() == "unix" {
			address = "unix:" + address
		}
		switch w.name {
		case dcbEndpoint:
			a.DCB = address
		case umadbEndpoint:
			a.UmaDB = address
		case httpEndpoint:
			a.HTTP = address
		case pprofEndpoint:
			a.Pprof = address
		}
		s.Log.Info("listening", "wire", w.name, "address", address, "tls", s.certs != nil && w.name != pprofEndpoint,
			"keys", s.keys != nil && w.name != pprofEndpoint)
	}
	s.Log.Info("ready", "version", s.Build.Version, "go", runtime.Version(), "store", stores.Redact(s.Store), "traces", s.traces != nil)
	if s.Ready != nil {
		s.Ready(a)
	}
	s.tellSystemd("READY=1")
}

// attend waits for the end, and reads keys and certificates again meanwhile.
func (s *server) attend(ctx context.Context, hangups <-chan os.Signal, failed <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			s.Log.Info("stopping: calls under way may finish", "timeout", s.StopTimeout)
			return nil
		case err := <-failed:
			s.Log.Error("stopping: a listener failed", "cause", err.Error())
			return err
		case <-hangups:
			s.reload()
		}
	}
}

// stop stops the wires in good order, and hard when the time for that is over.
func (s *server) stop(ctx context.Context) {
	s.stopping.Store(true) // readyz says no from here on
	s.tellSystemd("STOPPING=1")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.StopTimeout)
	defer cancel()
	var stopping sync.WaitGroup
	for _, w := range s.endpoints {
		stopping.Go(func() {
			defer context.AfterFunc(ctx, w.cut)()
			if err := w.shutdown(ctx); err != nil {
				s.Log.Warn("calls were cut off, for they did not finish in time", "wire", w.name, "timeout", s.StopTimeout)
			}
			w.close()
		})
	}
	stopping.Wait()
}

func (s *server) closeStore() error {
	if err := s.store.Close(); err != nil {
		return err
	}
	s.Log.Info("stopped: the store is closed")
	return nil
}

func (s *server) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.flushTimeout)
	defer cancel()
	if err := s.traces.Shutdown(ctx); err != nil {
		s.Log.Warn("the last traces were not sent", "cause", err.Error())
	}
}

// readiness says whether new calls should come here.
func (s *server) readiness(ctx context.Context) error {
	if s.stopping.Load() {
		return errStopping
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := s.watched.Head(ctx)
	return err
}

var errStopping = errors.New("serve: the server is stopping")

// reload reads keys and certificates again. What is wrong changes nothing.
func (s *server) reload() {
	if s.keys == nil && s.certs == nil {
		s.Log.Info("there are neither keys nor certificates to read again")
		return
	}
	var err error
	if s.keys != nil {
		keys, wrong := s.readKeys()
		if wrong == nil {
			s.keys.Replace(keys)
			s.Log.Info("the keys were read again", "file", s.KeysFile, "keys", len(keys))
		} else {
			err = wrong
			s.Log.Error("the keys stay as they were, for the file is wrong", "file", s.KeysFile, "cause", wrong.Error())
		}
	}
	if s.certs != nil {
		if wrong := s.certs.read(); wrong == nil {
			s.Log.Info("the certificate was read again", "file", s.TLSCert, "expires", s.certs.expires())
			s.adviseOnCertificate()
		} else {
			err = errors.Join(err, wrong)
			s.Log.Error("the certificate stays as it was, for a file is wrong", "cause", wrong.Error())
		}
	}
	s.metrics.Reloaded(err)
}

func (s *server) adviseOnCertificate() {
	s.adviseOnMode("the certificate's key", s.TLSKey)
	if left := time.Until(s.certs.expires()); left < soon {
		s.Log.Warn("the certificate has expired or will soon", "file", s.TLSCert, "expires", s.certs.expires())
	}
}

// soon is how long before its end a certificate is worth a warning.
const soon = 14 * 24 * time.Hour

// adviseOnMode warns of a secret that everyone may read. What is in the file is used all the same: it may be in a directory that is closed.
func (s *server) adviseOnMode(what, path string) {
	if runtime.GOOS == "windows" {
		return // whose modes say nothing
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		s.Log.Warn(what+" can be read by everyone on this machine; chmod o-r it", "file", path, "mode", info.Mode().Perm().String())
	}
}

// withDefaults fills in what is not said.
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
