// Package umadb speaks UmaDB's gRPC protocol: [Server] serves any [dcb.Store] to UmaDB's clients,
// and [Client] is a store on a server that speaks the protocol, dcb's own or UmaDB's.
//
// The protocol is in proto/umadb/v1/umadb.proto. Where it has no place for a part of the
// contract, the server uses fields from 1000 up, which other clients skip. Metadata that only
// this protocol needs (tracking positions, the order of metadata) is stored in reserved entries
// of the events' metadata, and removed from the server's responses.
//
// Reading order: server.go and service.go (one method per rpc), read.go (messages of events),
// tracking.go; then client.go, client_read.go and errors.go.
package umadb

//go:generate go -C ../tools run ./protogen ../umadb/proto .. umadb/v1/umadb.proto
