package diskstore

import (
	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/vfs"
)

// On returns options for a store on a file system of the tests.
func (o Options) On(fs vfs.FS) *Options {
	o.fs = fs
	return &o
}

// On returns options for a directory on a file system of the tests.
func (o InspectOptions) On(fs vfs.FS) *InspectOptions {
	o.fs = fs
	return &o
}

// Failed reports whether nothing can be appended any more.
func (s *Store) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed != nil
}

// Decided returns the position of the last event that has one, durable or not.
func (s *Store) Decided() dcb.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admitted
}
