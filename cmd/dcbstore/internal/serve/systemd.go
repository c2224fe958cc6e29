package serve

import (
	"net"
	"os"
)

// notifySystemd sends the state of the server to systemd as one datagram, if NOTIFY_SOCKET is set. See
// sd_notify(3).
func (s *server) notifySystemd(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(state))
		_ = conn.Close()
	}
	if err != nil {
		s.Log.Warn("cannot notify systemd", "state", state, "cause", err.Error())
	}
}
