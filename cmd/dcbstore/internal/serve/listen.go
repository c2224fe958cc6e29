package serve

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// listeners are those of a server, by the name of the wire.
type listeners map[string]net.Listener

func (l listeners) close() {
	for _, listener := range l {
		_ = listener.Close() // nothing came in by it
	}
}

// listen listens on everything, or on nothing. It comes before the store is opened: an address in use is found out before anything is
// touched, and who calls meanwhile waits instead of being turned away.
func (s *server) listen() (listeners, error) {
	type place struct {
		endpoint, flag, address string
		at                      net.Addr
	}
	var places []place
	for _, p := range []place{
		{dcbEndpoint, "--dcb", s.DCB, nil},
		{umadbEndpoint, "--umadb", s.UmaDB, nil},
		{httpEndpoint, "--http", s.HTTP, nil},
		{pprofEndpoint, "--pprof", s.Pprof, nil},
	} {
		if isOff(p.address) {
			continue
		}
		var err error
		// The resolved address is checked and listened on, so a name is looked up once.
		if p.at, err = s.resolveFor(p.endpoint, p.flag, p.address); err != nil {
			return nil, err
		}
		places = append(places, p)
	}
	open := make(listeners)
	for _, p := range places {
		listener, err := listenOn(p.at)
		if err != nil {
			open.close()
			return nil, fmt.Errorf("serve: %s: %w", p.flag, err)
		}
		open[p.endpoint] = listener
	}
	return open, nil
}

// resolveFor returns the address of an endpoint. It refuses one that is not safe to listen on.
func (s *server) resolveFor(endpoint, flag, address string) (net.Addr, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok && endpoint == dcbEndpoint {
		return &net.UnixAddr{Name: path, Net: "unix"}, nil // protected by the permissions of its directory
	}
	at, err := resolve(flag, address)
	if err != nil {
		return nil, err
	}
	if endpoint == pprofEndpoint {
		return at, onlyLoopback(at)
	}
	return at, s.mayListen(flag, at)
}

// listenOn listens on an address. It removes a UNIX socket that a process left behind.
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

func resolve(flag, address string) (*net.TCPAddr, error) {
	const hint = "an address is HOST:PORT, as in 127.0.0.1:8080; port 0 is any that is free, and off is none"
	if strings.Contains(address, "://") {
		return nil, refuse(hint, "%s %s is a URL", flag, address)
	}
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		if wrong, ok := errors.AsType[*net.AddrError](err); ok {
			err = errors.New(wrong.Err)
		}
		return nil, refuse(hint, "%s %s is no address: %v", flag, address, err)
	}
	return at, nil
}

// onlyLoopback: profiles show what is in memory, and making them costs; there are no keys for them, and no flag helps.
func onlyLoopback(at *net.TCPAddr) error {
	if at.IP.IsLoopback() {
		return nil
	}
	return refuse("listen on 127.0.0.1, and reach it by ssh -L", "--pprof %s can be reached from other machines; profiles are for this one only", at)
}
