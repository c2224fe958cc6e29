// Package dcbgrpc is both ends of the gRPC wire: [Server] lets others use any [dcb.Store], and [Client] is a store that a server keeps.
//
// The server speaks two protocols, which are written down in the folder proto:
//
//   - umadb.v1.DCB, for which clients in many languages exist, one call at a time (umadb*.go). [UmaDBClient] is ours.
//   - dcb.v1.Store, our own: one stream of requests and answers, gathered into frames on both sides (session*.go). [Client]
//     speaks it. A call over gRPC costs more than all that a store does; so it is paid once a frame, and where there is no TLS not
//     even that (bare*.go).
//
// Start reading at server.go, session.go and client.go. What crosses the wire is in frame.go; what an error is on it, in errors.go.
package dcbgrpc

//go:generate go -C ../tools run ./protogen ../dcbgrpc/proto .. dcb/v1/dcb.proto umadb/v1/umadb.proto
