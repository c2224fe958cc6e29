package diskstore

import "github.com/dcbstore/dcb/internal/vfs"

// On returns options for a store on a file system of the tests.
func (o Options) On(fs vfs.FS) *Options {
	o.fs = fs
	return &o
}
