package dcbnet

import (
	"strings"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

// protocolVersion is the version of the protocol in a Hello.
const protocolVersion = 1

// requestKind is the number of a request's field in the oneof call.
type requestKind uint8

// The kinds of requests. 0 is one that this version does not know.
const (
	helloRequest     requestKind = 2
	appendRequest    requestKind = 3
	readRequest      requestKind = 4
	headRequest      requestKind = 5
	waitRequest      requestKind = 6
	subscribeRequest requestKind = 7
	cancelRequest    requestKind = 8
	creditRequest    requestKind = 9
	pingRequest      requestKind = 10
)

// request is what a client sends. Which fields are used depends on the kind.
type request struct {
	id          uint64
	kind        requestKind
	traceparent string

	hello     hello
	events    []dcb.Event          // Append
	condition *dcb.AppendCondition // Append; nil: none
	query     dcb.Query            // Read, Subscribe
	opts      dcb.ReadOptions      // Read; After also of Wait and Subscribe
	credit    uint64               // Read, Subscribe; of Credit, the bytes to add
}

type hello struct {
	version    uint64
	key, store string
}

// isEndless reports whether the request has no end of its own.
func (r *request) isEndless() bool { return r.kind == waitRequest || r.kind == subscribeRequest }

// size returns an upper bound of the encoded size of r in bytes.
func (r *request) size() int {
	size := 96 + len(r.traceparent) + len(r.hello.key) + len(r.hello.store)
	for i := range r.events {
		size += wire.Size(&r.events[i])
	}
	size += querySize(r.query)
	if r.condition != nil {
		size += querySize(r.condition.FailIfEventsMatch)
	}
	return size
}

func querySize(q dcb.Query) (size int) {
	for i := range q {
		size += 8
		for _, text := range q[i].Types {
			size += len(text) + 4
		}
		for _, text := range q[i].Tags {
			size += len(text) + 4
		}
	}
	return size
}

// detach copies the strings of r that alias the message that it came in. An endless request would
// otherwise keep the whole message in memory.
func (r *request) detach() {
	for i := range r.query {
		for j, text := range r.query[i].Types {
			r.query[i].Types[j] = strings.Clone(text)
		}
		for j, text := range r.query[i].Tags {
			r.query[i].Tags[j] = strings.Clone(text)
		}
	}
	r.traceparent = strings.Clone(r.traceparent)
}

// method returns the name of the request for reports.
func (r *request) method() string {
	switch r.kind {
	case appendRequest:
		return "Append"
	case readRequest:
		return "Read"
	case headRequest:
		return "Head"
	case waitRequest:
		return "Wait"
	case subscribeRequest:
		return "Subscribe"
	default:
		return "unknown"
	}
}

// responseKind is the number of a response's field in the oneof result.
type responseKind uint8

// The kinds of responses. 0 is one that this version does not know.
const (
	welcomeResponse  responseKind = 2
	positionResponse responseKind = 3
	eventsResponse   responseKind = 4
	errorResponse    responseKind = 5
	goAwayResponse   responseKind = 6
	pingResponse     responseKind = 7
)

// response is what a server sends. Which fields are used depends on the kind.
type response struct {
	id   uint64 // 0: of no request
	kind responseKind

	position dcb.Position // Position; of Events the head
	events   []dcb.SequencedEvent
	last     bool // Events: the Read is answered
	more     bool // Events: the limit left out matching events
	bytes    int  // encoded size; set by the decoder
	err      wire.Error
	welcome  welcome
}

type welcome struct{ maxRequests, maxMessageBytes uint64 }
