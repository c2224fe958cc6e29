//go:build !unix

package serve

import "os"

// hangups: there is no such signal here; a server is started again instead.
func hangups() (<-chan os.Signal, func()) { return nil, func() {} }
