//go:build !unix

package pgtest

import (
	"errors"
	"os"
	"syscall"
)

// Where there are no signals no server is started; a test needs DCB_TEST_POSTGRES. What is below is never reached then.
var (
	interruptSignal = os.Interrupt
	quitSignal      = os.Kill
	suspendSignal   = os.Kill
)

var errUnix = errors.New("servers are started on Unix only\nhint: set " + serverVariable + " to the URL of a server for tests")

func unprivileged() (*syscall.SysProcAttr, error)              { return nil, errUnix }
func apart(identity *syscall.SysProcAttr) *syscall.SysProcAttr { return identity }
func own(string, *syscall.SysProcAttr) error                   { return errUnix }
func kill(int) error                                           { return errUnix }
func children(int) ([]int, error)                              { return nil, errUnix }
func alive(int) bool                                           { return false }
