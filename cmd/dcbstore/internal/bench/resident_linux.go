package bench

import (
	"bufio"
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
)

// residentBytes returns how much of this process is in memory and cannot be taken back by the kernel: without the pages of files that it has mapped, and after
// all garbage was given back. 0 if that cannot be told.
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
