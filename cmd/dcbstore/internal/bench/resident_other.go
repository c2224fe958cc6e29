//go:build !linux

package bench

// residentBytes returns 0 where the system does not report it; reports then omit it.
func residentBytes() uint64 { return 0 }
