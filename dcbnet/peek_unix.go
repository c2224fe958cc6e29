//go:build unix

package dcbnet

import "syscall"

// isReadable reports, without waiting, whether something has arrived or the connection has ended.
func isReadable(raw syscall.RawConn) bool {
	readable := true
	var b [1]byte
	err := raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		readable = err != syscall.EAGAIN && err != syscall.EINTR
		return true
	})
	return readable || err != nil
}

const canPeek = true
