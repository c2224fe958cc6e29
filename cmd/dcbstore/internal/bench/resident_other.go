//go:build !linux

package bench

// residentBytes is not known here, and the reports leave it out.
func residentBytes() uint64 { return 0 }
