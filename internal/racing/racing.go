// Package racing lets tests ask whether the race detector watches. It makes what moves megabytes a hundred times as slow, so `make test` runs
// the large cases of the kit without it.
package racing
