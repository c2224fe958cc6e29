package serve

import (
	"net"
	"os"
)

// tellSystemd tells the service manager how the server is, if it was started by one that wants to know: see sd_notify(3). The
// protocol is one datagram.
func (s *server) tellSystemd(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(state))
		_ = conn.Close() // the datagram is sent, or not
	}
	if err != nil {
		s.Log.Warn("systemd was not told", "state", state, "cause", err.Error())
	}
}
