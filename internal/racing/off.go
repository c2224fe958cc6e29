//go:build !race

package racing

// Watched says that the race detector watches.
const Watched = false
