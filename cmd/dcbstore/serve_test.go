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

// served holds the running server of each script: *testscript.TestScript to *serverProcess.
var served sync.Map

type serverProcess struct {
	cmd      *exec.Cmd
	out, log watched
	ended    chan struct{}
}

// serveInBackground implements the command serve ARG... of scripts: it starts dcbstore serve in the
// background on free ports, and returns when the server is ready. It sets $DCB, $UMADB and $HTTP to
// the addresses.
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
		_ = s.cmd.Wait() // stopServer checks the exit code
	}()
	ts.Defer(func() {
		_ = s.cmd.Process.Kill() // an error if the process has ended already
		<-s.ended
	})
	served.Store(ts, s)
	select {
	case <-s.out.has("http 127.0.0.1:"):
	case <-s.ended:
		ts.Fatalf("the server ended before it was ready; its log:\n%s", s.log.String())
	}
	for line := range strings.Lines(s.out.String()) {
		protocol, address, _ := strings.Cut(strings.TrimSpace(line), " ")
		ts.Setenv(strings.ToUpper(protocol), address)
	}
}

func serverOf(ts *testscript.TestScript) *serverProcess {
	s, ok := served.Load(ts)
	if !ok {
		ts.Fatalf("the script has no running server")
	}
	return s.(*serverProcess)
}

// hangUp implements the command hangup TEXT of scripts: it sends SIGHUP to the server, and returns
// when the log contains TEXT.
func hangUp(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hangup TEXT")
	}
	s := serverOf(ts)
	ts.Check(s.cmd.Process.Signal(syscall.SIGHUP))
	select {
	case <-s.log.has(args[0]):
	case <-s.ended:
		ts.Fatalf("the server ended; its log:\n%s", s.log.String())
	}
}

// stopServer implements the command stop CODE of scripts: it sends SIGTERM to the server and
// requires the exit code CODE. It writes the log to the file log.
func stopServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stop CODE")
	}
	s := serverOf(ts)
	ts.Check(s.cmd.Process.Signal(syscall.SIGTERM))
	<-s.ended
	ts.Check(os.WriteFile(ts.MkAbs("log"), []byte(s.log.String()), 0o600))
	if got := fmt.Sprint(s.cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("exit code %s, want %s; the log:\n%s", got, args[0], s.log.String())
	}
}

// getURL implements the command get STATUS PATH [KEY [BODY]] of scripts: it calls the server over
// HTTP, with POST if there is a BODY, and requires STATUS. It writes the response to the file answer.
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
		ts.Fatalf("status %s, want %s; the response: %s", got, args[0], text)
	}
}
