//go:build unix

package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// How a server is told to stop, at once, or for a moment.
const (
	interruptSignal = syscall.SIGINT
	quitSignal      = syscall.SIGQUIT
	suspendSignal   = syscall.SIGSTOP
)

// unprivileged returns the identity of a server: the user's own, or if that is root, the user postgres or nobody.
func unprivileged() (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		if account, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("PostgreSQL refuses to run as root, and there is no other user: %w", err)
		}
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// apart returns identity in a process group of its own, so that what interrupts the test does not interrupt it.
func apart(identity *syscall.SysProcAttr) *syscall.SysProcAttr {
	attr := syscall.SysProcAttr{Setpgid: true}
	if identity != nil {
		attr.Credential = identity.Credential
	}
	return &attr
}

// own gives path to identity.
func own(path string, identity *syscall.SysProcAttr) error {
	if identity.Credential == nil {
		return nil
	}
	return os.Chown(path, int(identity.Credential.Uid), int(identity.Credential.Gid))
}

// kill kills a process, which may be dead already.
func kill(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// children returns the process ids of the children of a process. (They are no process group: each backend of PostgreSQL leads its own.)
func children(parent int) ([]int, error) {
	processes, err := listProcesses()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, p := range processes {
		if p.parent == parent {
			pids = append(pids, p.pid)
		}
	}
	return pids, nil
}

// alive reports whether a process exists and is not a zombie, which only waits for being noticed.
func alive(pid int) bool {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	}
	p, err := readStat(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && p.state != "Z"
}

type processInfo struct {
	pid, parent int
	state       string
}

func listProcesses() ([]processInfo, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	if len(stats) == 0 {
		return askPS()
	}
	var processes []processInfo
	for _, path := range stats {
		if p, err := readStat(path); err == nil { // one that has just ended has none
			processes = append(processes, p)
		}
	}
	return processes, nil
}

// readStat reads Linux's "pid (command) state parent …". The command may contain anything, parentheses too.
func readStat(path string) (processInfo, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return processInfo{}, err
	}
	var p processInfo
	if _, err := fmt.Sscan(string(text), &p.pid); err != nil {
		return processInfo{}, err
	}
	_, err = fmt.Sscan(string(text[bytes.LastIndexByte(text, ')')+1:]), &p.state, &p.parent)
	return p, err
}

func askPS() ([]processInfo, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,state=").Output()
	if err != nil {
		return nil, err
	}
	var processes []processInfo
	for line := range strings.Lines(string(out)) {
		var p processInfo
		if _, err := fmt.Sscan(line, &p.pid, &p.parent, &p.state); err != nil {
			return nil, err
		}
		processes = append(processes, p)
	}
	return processes, nil
}
