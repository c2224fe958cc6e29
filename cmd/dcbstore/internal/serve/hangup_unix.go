//go:build unix

package serve

import (
	"os"
	"os/signal"
	"syscall"
)

// hangups returns a channel that receives SIGHUP, and a function that stops receiving it.
func hangups() (<-chan os.Signal, func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	return signals, func() { signal.Stop(signals) }
}
