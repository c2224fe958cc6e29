package pgtest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sandbox is a directory with at most one server process in it. Both are gone when the test binary is: a guard, a
// process of its own, reads from a pipe which server is running now, and when the pipe ends, because the test is
// over or because its process was killed, it stops that server and removes the directory. (Pdeathsig would do only
// on Linux, only as long as the thread that started the server lives, and would leave the directory.)
//
// The processes are led by the sandbox's owner, who calls one method at a time.
type sandbox struct {
	dir        string
	identity   *syscall.SysProcAttr // whom the server runs as: it refuses to be root
	guard      *exec.Cmd
	guardInput io.WriteCloser

	server *exec.Cmd     // nil if none is running
	exited chan struct{} // closed when server has ended
}

// guardScript gets the directory as $1 and reads lines that have the process id of the running server, or 0 for none. A server
// that was killed has left its segment of System V memory behind, whose id is in line 7 of its lock file.
const guardScript = `
pid=0
while read -r line; do pid=$line; done
if [ "$pid" != 0 ] && kill -QUIT "$pid"; then
	i=0
	while [ $i -lt 240 ] && kill -0 "$pid"; do
		sleep 0.25
		i=$((i + 1))
	done
fi
segment=$(sed -n '7s/.* //p' "$1/data/postmaster.pid") && [ -n "$segment" ] && ipcrm -m "$segment"
rm -rf "$1"
`

func newSandbox() (*sandbox, error) {
	identity, err := unprivileged()
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	// Not t.TempDir: that one is closed to all other users.
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	b := &sandbox{dir: dir, identity: identity}
	if err := b.startGuard(); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: start the guard: %w", err), os.RemoveAll(dir))
	}
	if err := own(dir, identity); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: %w", err), b.close())
	}
	return b, nil
}

func (b *sandbox) startGuard() error {
	b.guard = exec.Command("sh", "-c", guardScript, "pgtest-guard", b.dir)
	b.guard.Dir = "/"
	b.guard.SysProcAttr = apart(nil)
	var err error
	if b.guardInput, err = b.guard.StdinPipe(); err != nil {
		return err
	}
	return b.guard.Start()
}

// close stops what is running and removes the directory.
func (b *sandbox) close() error {
	if err := errors.Join(b.guardInput.Close(), b.guard.Wait()); err != nil {
		return fmt.Errorf("pgtest: clean up %s: %w", b.dir, err)
	}
	return nil
}

// run runs a command to its end. Its output is in the error if it fails.
func (b *sandbox) run(name string, args ...string) error {
	cmd := b.command(name, args)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// start starts the server. Its output goes to the log; a pipe to the test binary would keep go test waiting.
func (b *sandbox) start(name string, args ...string) error {
	log, err := os.OpenFile(b.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := b.command(name, args)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how a server ended that was told to end says nothing; its log does
	}()
	b.server, b.exited = cmd, exited
	return b.tellGuard(cmd.Process.Pid)
}

func (b *sandbox) tellGuard(pid int) error {
	_, err := fmt.Fprintln(b.guardInput, pid)
	return err
}

// stop sends the server a signal and waits for its end. Without a server it does nothing.
func (b *sandbox) stop(signal os.Signal) error {
	if b.server == nil {
		return nil
	}
	if err := b.server.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return b.awaitEnd()
}

// killFamily kills the server and its children. The server is suspended first, so that it cannot have further ones.
func (b *sandbox) killFamily() error {
	if b.server == nil {
		return nil
	}
	pid := b.server.Process.Pid
	if err := b.server.Process.Signal(suspendSignal); err != nil {
		return err
	}
	family, err := children(pid)
	if err != nil {
		return err
	}
	for _, member := range append(family, pid) {
		if err := kill(member); err != nil {
			return err
		}
	}
	if err := b.awaitEnd(); err != nil {
		return err
	}
	// A child that is still dying holds on to the memory that the next server must find free.
	deadline := time.Now().Add(patience)
	for slices.ContainsFunc(family, alive) {
		if time.Now().After(deadline) {
			return errors.New("the server's children do not die")
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

func (b *sandbox) awaitEnd() error {
	select {
	case <-b.exited:
	case <-time.After(patience):
		return fmt.Errorf("process %d does not end", b.server.Process.Pid)
	}
	b.server = nil
	return b.tellGuard(0)
}

func (b *sandbox) logPath() string { return filepath.Join(b.dir, "server.log") }

// command returns a command that runs in the directory as the sandbox's user. Nothing in the environment that is meant for PostgreSQL
// programs of the user reaches it.
func (b *sandbox) command(name string, args []string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = b.dir
	cmd.SysProcAttr = apart(b.identity)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "PG") || strings.HasPrefix(variable, "LC_")
	})
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	return cmd
}
