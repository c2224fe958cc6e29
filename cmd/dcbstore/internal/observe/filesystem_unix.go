//go:build linux || darwin

package observe

import "syscall"

// fileSystem returns what the file system of dir has left for a user without privileges, and its size.
func fileSystem(dir string) (free, size int64, ok bool) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, 0, false
	}
	block := int64(stat.Bsize) //nolint:unconvert // on darwin it is of another type
	return int64(stat.Bavail) * block, int64(stat.Blocks) * block, true
}
