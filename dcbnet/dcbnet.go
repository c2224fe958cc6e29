// Package dcbnet is dcb's own protocol: [Server] serves any [dcb.Store], and [Client] is a store
// on such a server. It carries all of the contract, and it is the fastest of the protocols.
//
// # How it works
//
// A connection is TCP, TLS or a UNIX socket. It carries messages with their length in front, in
// both directions; a message is a list of requests or of responses, encoded as Protocol Buffers
// (proto/dcb/v1/dcb.proto). Many calls share a connection: each request has an id, and responses
// come in any order. Three mechanisms make it fast and keep it safe:
//
//   - Gathering (sendqueue.go). Each goroutine appends its requests or responses to the message
//     that is sent next. No goroutine waits for more to arrive: a message contains what was ready when
//     the previous one had been sent. The appends of one message become one group of the store.
//   - Flow-control credit (credit.go). A server sends events only within the bytes that the client
//     asked for. So a slow consumer delays no other call, and costs the server one page.
//   - No needless hand-over between goroutines. A call that is alone on its connection is sent by
//     its own goroutine, and answered by the goroutine that reads the server's connection.
//
// A client repeats what was lost with a connection, as far as that is safe; see [Client]. Both
// sides ping a silent connection and close a dead one (conn.go). A server that stops announces it
// with GOAWAY, and answers what is under way.
//
// # Reading order
//
// message.go (what is sent), conn.go (how), sendqueue.go, credit.go; then server.go,
// server_conn.go and server_read.go; then client.go, client_conn.go and client_calls.go. codec.go
// is the encoding.
//
// # Locks
//
// Only two locks are held while another one is taken. Client.mu comes before clientConn.mu, and
// sendQueue.mu before clientConn.mu, serverConn.mu and credit.mu (in isAlone, and in functions that
// append to a message). Only the locks of messageConn are held during I/O.
package dcbnet

//go:generate go -C ../tools run ./protogen ../dcbnet/proto .. dcb/v1/dcb.proto
