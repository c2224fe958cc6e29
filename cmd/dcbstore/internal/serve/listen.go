package serve

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// listeners are the listeners of a server, by the name of the endpoint.
type listeners map[string]net.Listener

func (l listeners) close() {
	for _, listener := range l {
		_ = listener.Close()
	}
}

// listen opens all listeners, or none if one fails. It runs before the store is opened. So an address
// in use is an error before the store is touched, and connections that arrive meanwhile wait.
func (s *server) listen() (listeners, error) {
	type target struct {
		endpoint, flag, address string
		resolved                net.Addr
	}
	var targets []target
	for _, t := range []target{
		{dcbEndpoint, "--dcb", s.DCB, nil},
		{umadbEndpoint, "--umadb", s.UmaDB, nil},
		{httpEndpoint, "--http", s.HTTP, nil},
		{pprofEndpoint, "--pprof", s.Pprof, nil},
	} {
		if isOff(t.address) {
			continue
		}
		var err error
		// The name is resolved once: the server listens on the address that was checked.
		if t.resolved, err = s.resolveFor(t.endpoint, t.flag, t.address); err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	open := make(listeners)
	for _, t := range targets {
		listener, err := listenOn(t.resolved)
		if err != nil {
			open.close()
			return nil, fmt.Errorf("serve: %s: %w", t.flag, err)
		}
		open[t.endpoint] = listener
	}
	return open, nil
}

// resolveFor returns the address of an endpoint. It refuses one that is not safe to listen on.
func (s *server) resolveFor(endpoint, flag, address string) (net.Addr, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok && endpoint == dcbEndpoint {
		return &net.UnixAddr{Name: path, Net: "unix"}, nil // the permissions of its directory protect it
	}
	at, err := resolve(flag, address)
	if err != nil {
		return nil, err
	}
	if endpoint == pprofEndpoint {
		return at, checkLoopback(at)
	}
	return at, s.checkAddress(flag, at)
}

// listenOn listens on an address. It replaces the UNIX socket of a process that has ended.
func listenOn(at net.Addr) (net.Listener, error) {
	listener, err := net.Listen(at.Network(), at.String())
	if at.Network() != "unix" || !errors.Is(err, syscall.EADDRINUSE) {
		return listener, err
	}
	if conn, dialErr := net.Dial("unix", at.String()); dialErr == nil {
		_ = conn.Close() // another process listens there
		return nil, err
	}
	if err := os.Remove(at.String()); err != nil {
		return nil, err
	}
	return net.Listen("unix", at.String())
}

// resolve returns the TCP address that the value of a flag names.
func resolve(flag, address string) (*net.TCPAddr, error) {
	const hint = "write an address as HOST:PORT, for example 127.0.0.1:8080; port 0 selects a free port, and off switches the listener off"
	if strings.Contains(address, "://") {
		return nil, refuse(hint, "%s %s is a URL, not an address", flag, address)
	}
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		if wrong, ok := errors.AsType[*net.AddrError](err); ok {
			err = errors.New(wrong.Err)
		}
		return nil, refuse(hint, "%s %s is not an address: %v", flag, address, err)
	}
	return at, nil
}

// checkLoopback refuses an address of the profiler that other machines can reach, even with
// --insecure. Profiles show what is in memory, cost processor time, and need no key.
func checkLoopback(at *net.TCPAddr) error {
	if at.IP.IsLoopback() {
		return nil
	}
	return refuse("listen on 127.0.0.1, and connect with ssh -L",
		"--pprof %s can be reached from other machines; profiles are served on loopback addresses only", at)
}
