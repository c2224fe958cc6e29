//go:build !linux && !darwin

package observe

// fileSystem: it is not known here.
func fileSystem(string) (free, size int64, ok bool) { return 0, 0, false }
