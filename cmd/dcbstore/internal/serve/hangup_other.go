//go:build !unix

package serve

import "os"

// hangups returns nil: the system has no SIGHUP. Keys are reloaded by a restart.
func hangups() (<-chan os.Signal, func()) { return nil, func() {} }
