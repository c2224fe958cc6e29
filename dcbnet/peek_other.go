//go:build !unix

package dcbnet

import "syscall"

const canPeek = false

func isReadable(syscall.RawConn) bool { return true }
