// Package wire holds what the protocols of a server (dcbnet, umadb and dcbhttp) share, so that
// each rule exists once:
//
//   - the codes of errors, and the text that a caller may read ([CodeOf], [Text], [Error])
//   - the limits of connections, messages and calls ([Limits], [Listen])
//   - the size of pages ([PageBytes], [Follow])
//   - retries of a client ([Retry])
//   - the report of each call for metrics, logs and traces ([Call])
//
// Keys and permissions are in package auth. The protocols export what their options need as
// aliases of the types here.
package wire

import (
	"context"
	"time"
)

// Call describes a finished call. It contains nothing from events, queries or keys.
type Call struct {
	// Protocol is how the call arrived: dcbnet, umadb or http.
	Protocol string
	// Method is the name of the call in its protocol, one of a fixed list: Append, Read, /append …
	Method string
	// Key is the name of the key that the call was made with. It is empty if the server has no keys
	// or does not know the key.
	Key string
	// Duration is the time from the arrival of the call to its answer.
	Duration time.Duration
	// Err is the error that the call ended with, including causes that its caller does not see. Nil
	// means success.
	Err error
}

// Observer is called after each call, by many goroutines at once. It must not block.
type Observer func(ctx context.Context, call Call)
