// Package race reports whether the race detector is enabled. It makes code that moves megabytes
// about a hundred times slower, so `make test` runs the kit's large cases without it.
package race
