// Package edge is what the two wires, dcbgrpc and dcbhttp, have in common, so that it is defined once: who may call ([Keys]), how much a
// caller may ask for ([Limits], [Listen]), what an error is called outside ([CodeOf]) and what its words may say
// ([Text]), and what is told of a call when it is done ([Call]).
package edge

import (
	"context"
	"time"
)

// Call is what is told of a call when it is done. Nothing in it comes from events, queries or keys.
type Call struct {
	// Wire says how the call came: umadb, session or http.
	Wire string
	// Method is the call's name on its wire, one of a fixed list: Append, Read, /append …
	Method string
	// Key is the name of the key that the call was made with, empty where none is asked for or it is unknown.
	Key string
	// Duration is the time from the call's arrival to its answer.
	Duration time.Duration
	// Err is why it failed, with the causes that its caller is not told; nil if it did not.
	Err error
}

// Observer is told of each call when it is done, from many goroutines at once, and must not hold them up.
type Observer func(ctx context.Context, call Call)
