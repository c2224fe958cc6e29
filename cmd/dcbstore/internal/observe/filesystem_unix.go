//go:build linux || darwin

package observe

import "syscall"

// fileSystem returns the free space for unprivileged users, and the size, of the file system of
// dir.
func fileSystem(dir string) (free, size int64, ok bool) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, 0, false
	}
	block := int64(stat.Bsize) //nolint:unconvert // it has another type on darwin
	return int64(stat.Bavail) * block, int64(stat.Blocks) * block, true
}
