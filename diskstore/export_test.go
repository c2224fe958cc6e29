package diskstore

import (
	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/vfs"
)

// On returns options for a store on the given file system.
func (o Options) On(fs vfs.FS) *Options {
	o.fs = fs
	return &o
}

// On returns options for a directory on the given file system.
func (o InspectOptions) On(fs vfs.FS) *InspectOptions {
	o.fs = fs
	return &o
}

// Failed reports whether the store cannot append any more.
func (s *Store) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed != nil
}

// Admitted returns the last position given to an append, durable or not.
func (s *Store) Admitted() dcb.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admitted
}
