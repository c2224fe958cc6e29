//go:build race

package dcbgrpc

// underRace says that the race detector makes what moves megabytes a hundred times as slow. `make test` runs the large cases of the kit without it.
const underRace = true
