//go:build !linux

package vfs

// Sync implements [File.Sync] with os.File.Sync: F_FULLFSYNC on macOS, where fsync leaves data
// in the disk's cache, FlushFileBuffers on Windows, and fsync elsewhere.
func (f *osFile) Sync() error { return f.File.Sync() }

// reserve does nothing. Writing the zeros allocates the space.
func (f *osFile) reserve(int64, int64) error { return nil }
