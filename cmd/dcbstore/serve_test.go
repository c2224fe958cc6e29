package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// served are the servers that scripts have running.
var served sync.Map // from *testscript.TestScript to *serverProcess

type serverProcess struct {
	cmd      *exec.Cmd
	out, log watched
	ended    chan struct{}
}

// serve ARG... starts dcbstore serve in the background on ports that are free, and returns when
// it answers. After that $DCB, $UMADB and $HTTP are its addresses.
func serveInBackground(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: serve ARG...")
	}
	s := &serverProcess{ended: make(chan struct{})}
	s.cmd = command(ts, append([]string{"dcbstore", "serve", "--dcb", "127.0.0.1:0", "--umadb", "127.0.0.1:0", "--http", "127.0.0.1:0"}, args...))
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.log
	ts.Check(s.cmd.Start())
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // the exit code is what counts
	}()
	ts.Defer(func() {
		_ = s.cmd.Process.Kill() // an error if it has ended, as it should
		<-s.ended
	})
	served.Store(ts, s)
	select {
	case <-s.out.has("http 127.0.0.1:"):
	case <-s.ended:
		ts.Fatalf("it ended before it answered:\n%s", s.log.String())
	}
	for line := range strings.Lines(s.out.String()) {
		wire, address, _ := strings.Cut(strings.TrimSpace(line), " ")
		ts.Setenv(strings.ToUpper(wire), address)
	}
}

func serverOf(ts *testscript.TestScript) *serverProcess {
	s, ok := served.Load(ts)
	if !ok {
		ts.Fatalf("nothing is served")
	}
	return s.(*serverProcess)
}

// hangup TEXT tells the server to read its keys again, and returns when its log has TEXT.
func hangUp(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hangup TEXT")
	}
	s := serverOf(ts)
	ts.Check(s.cmd.Process.Signal(syscall.SIGHUP))
	select {
	case <-s.log.has(args[0]):
	case <-s.ended:
		ts.Fatalf("it ended:\n%s", s.log.String())
	}
}

// stop CODE sends the server SIGTERM, and wants that exit code. Its log is there for stderr.
func stopServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stop CODE")
	}
	s := serverOf(ts)
	ts.Check(s.cmd.Process.Signal(syscall.SIGTERM))
	<-s.ended
	ts.Check(os.WriteFile(ts.MkAbs("log"), []byte(s.log.String()), 0o600))
	if got := fmt.Sprint(s.cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("the exit code is %s; want %s; its log:\n%s", got, args[0], s.log.String())
	}
}

// get STATUS PATH [KEY [BODY]] calls the server over HTTP, with a POST if there is a BODY, and
// wants that status. The answer goes to the file answer.
func getURL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 4 {
		ts.Fatalf("usage: get STATUS PATH [KEY [BODY]]")
	}
	method, body := http.MethodGet, ""
	if len(args) == 4 {
		method, body = http.MethodPost, args[3]
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+ts.Getenv("HTTP")+args[1], strings.NewReader(body))
	ts.Check(err)
	request.Header.Set("Content-Type", "application/json")
	if len(args) > 2 {
		request.Header.Set("Authorization", "Bearer "+args[2])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	ts.Check(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("answer"), text, 0o600))
	if got := fmt.Sprint(answer.StatusCode); got != args[0] {
		ts.Fatalf("status %s; want %s: %s", got, args[0], text)
	}
}
