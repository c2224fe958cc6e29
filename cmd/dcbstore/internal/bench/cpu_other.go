//go:build !unix

package bench

import "time"

// cpuTime returns 0 where the system does not report it; reports then omit it.
func cpuTime() time.Duration { return 0 }
