//go:build !linux

package vfs

// Sync is F_FULLFSYNC on darwin, where fsync leaves the data in the disk's cache, FlushFileBuffers on Windows and fsync elsewhere: os.File
// knows all this.
func (f *osFile) Sync() error { return f.File.Sync() }

// reserve leaves it to the writing of zeros to take the room.
func (f *osFile) reserve(int64, int64) error { return nil }
