package bench

import (
	"bufio"
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
)

// residentBytes returns the memory of this process that the kernel cannot reclaim, after a
// garbage collection. It excludes the pages of mapped files. It returns 0 if the kernel does not
// report it.
func residentBytes() uint64 {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
		rest, found := bytes.CutPrefix(lines.Bytes(), []byte("RssAnon:"))
		if !found {
			continue
		}
		kilobytes, err := strconv.ParseUint(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)
		if err != nil {
			return 0
		}
		return kilobytes << 10
	}
	return 0
}
