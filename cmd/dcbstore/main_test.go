package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/dcbstore/dcb/cmd/dcbstore/internal/bench"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/pgtest"
)

func TestMain(m *testing.M) {
	// In a process that a script starts, this does not return. In the process of the tests it runs
	// them.
	testscript.Main(withPostgres{m}, map[string]func(){"dcbstore": main})
}

// withPostgres stops the PostgreSQL server after the tests.
type withPostgres struct{ m *testing.M }

func (w withPostgres) Run() int { return pgtest.Main(w.m) }

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("DCB_STORE", "")
			return nil
		},
		Cmds: commands(),
	})
}

// The scripts in lasting run on every store that outlives a process, and those in shared on every
// store that several processes can open.
func TestScriptsOnEachStore(t *testing.T) {
	t.Parallel()
	disk := func(t testing.TB) string {
		dir := t.TempDir()
		store, err := diskstore.Open(dir, nil)
		if err == nil {
			err = store.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return "disk:" + dir
	}
	tags := func(t testing.TB) string { return pgtest.URL(t) + "&dcb_index=tags" }
	tsvector := func(t testing.TB) string { return pgtest.URL(t) + "&dcb_index=tsvector" }
	for name, c := range map[string]struct {
		dir      string
		newStore func(testing.TB) string
	}{
		"disk":            {"lasting", disk},
		"tags":            {"lasting", tags},
		"tsvector":        {"lasting", tsvector},
		"tags shared":     {"shared", tags},
		"tsvector shared": {"shared", tsvector},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testscript.Run(t, testscript.Params{
				Dir: "testdata/" + c.dir,
				Setup: func(env *testscript.Env) error {
					tb := env.T().(testing.TB)
					env.Setenv("DCB_STORE", c.newStore(tb))
					env.Setenv("OTHER_STORE", c.newStore(tb))
					return nil
				},
				Cmds: commands(),
			})
		})
	}
}

func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"exits":          exits,
		"interrupt":      interrupt,
		"jsonfields":     jsonFields,
		"appendinfollow": appendInFollow,
		"damage":         damageFile,
		"serve":          serveInBackground,
		"hangup":         hangUp,
		"stop":           stopServer,
		"get":            getURL,
	}
}

// damage FILE OFFSET changes a byte of a file.
func damageFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: damage FILE OFFSET")
	}
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	content[offset] ^= 1
	ts.Check(os.WriteFile(path, content, 0o600))
}

// exits CODE COMMAND... runs a command and checks its exit code. Its output is for stdout and
// stderr.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// interrupt CODE TEXT COMMAND... runs a command, interrupts it as soon as it has printed TEXT,
// and checks its exit code.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: interrupt CODE TEXT COMMAND...")
	}
	running := start(ts, args[2:])
	running.await(args[1])
	running.interrupt(args[0])
}

// appendinfollow CODE FIRST FILE SECOND COMMAND... runs a command until it has printed FIRST,
// appends the events in FILE, waits until the command has printed SECOND, and interrupts it.
func appendInFollow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 5 {
		ts.Fatalf("usage: appendinfollow CODE FIRST FILE SECOND COMMAND...")
	}
	running := start(ts, args[4:])
	running.await(args[1])
	add := command(ts, []string{"dcbstore", "append"})
	add.Stdin = strings.NewReader(ts.ReadFile(args[2]))
	ts.Check(add.Run())
	running.await(args[3])
	running.interrupt(args[0])
}

func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), string(os.PathListSeparator)) {
		path := dir + "/" + args[0]
		if _, err := os.Stat(path); err == nil {
			cmd := exec.Command(path, args[1:]...)
			cmd.Dir = ts.MkAbs(".")
			for _, name := range []string{"PATH", "DCB_STORE", "OTHER_STORE", "HOME"} {
				cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
			}
			return cmd
		}
	}
	ts.Fatalf("no command %s", args[0])
	return nil
}

// running is a started command.
type running struct {
	ts     *testscript.TestScript
	cmd    *exec.Cmd
	out    watched
	stderr watched // on standard error
	ended  chan struct{}
}

func start(ts *testscript.TestScript, args []string) *running {
	r := &running{ts: ts, cmd: command(ts, args), ended: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.stderr
	ts.Check(r.cmd.Start())
	go func() {
		defer close(r.ended)
		_ = r.cmd.Wait() // the exit code is what counts
	}()
	ts.Defer(func() {
		_ = r.cmd.Process.Kill() // an error if it has ended, as it should
		<-r.ended
	})
	return r
}

// await returns when the command has printed text.
func (r *running) await(text string) {
	select {
	case <-r.out.has(text):
	case <-r.stderr.has(text):
	case <-r.ended:
		r.ts.Fatalf("the command ended before it printed %q; it printed:\n%s%s", text, r.out.String(), r.stderr.String())
	}
}

// interrupt ends the command and checks its exit code.
func (r *running) interrupt(code string) {
	r.ts.Check(r.cmd.Process.Signal(os.Interrupt))
	<-r.ended
	_, err := io.WriteString(r.ts.Stdout(), r.out.String())
	r.ts.Check(err)
	_, err = io.WriteString(r.ts.Stderr(), r.stderr.String())
	r.ts.Check(err)
	if got := fmt.Sprint(r.cmd.ProcessState.ExitCode()); got != code {
		r.ts.Fatalf("exit code %s, want %s; it printed:\n%s", got, code, r.out.String())
	}
}

// watched is the output of a command so far.
type watched struct {
	mu      sync.Mutex // guards the rest
	printed bytes.Buffer
	waiting map[string]chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.printed.Write(p)
	for text, found := range w.waiting {
		if strings.Contains(w.printed.String(), text) {
			close(found)
			delete(w.waiting, text)
		}
	}
	return len(p), nil
}

// has returns a channel that is closed as soon as text was printed.
func (w *watched) has(text string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := make(chan struct{})
	if strings.Contains(w.printed.String(), text) {
		close(found)
		return found
	}
	if w.waiting == nil {
		w.waiting = make(map[string]chan struct{})
	}
	w.waiting[text] = found
	return found
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.printed.String()
}

// jsonfields FILE LINES NAME... checks that FILE has that many lines, each a JSON object with
// these members and possibly others. NAME=VALUE also checks the value, and NAME>VALUE that it is
// a greater number.
func jsonFields(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: jsonfields FILE LINES NAME...")
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n")
	if want := args[1]; fmt.Sprint(len(lines)) != want {
		ts.Fatalf("%d lines, want %s", len(lines), want)
	}
	for _, line := range lines {
		var object map[string]any
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber()
		if err := decoder.Decode(&object); err != nil {
			ts.Fatalf("%s: %v", line, err)
		}
		for _, want := range args[2:] {
			checkField(ts, object, want)
		}
	}
}

func checkField(ts *testscript.TestScript, object map[string]any, want string) {
	name, value, equal := strings.Cut(want, "=")
	least := ""
	above := false
	if !equal {
		name, least, above = strings.Cut(want, ">")
	}
	got, ok := object[name]
	if !ok {
		ts.Fatalf("no member %s in %v", name, object)
	}
	if equal && fmt.Sprint(got) != value {
		ts.Fatalf("%s is %v, want %s", name, got, value)
	}
	if above {
		number, err := strconv.ParseFloat(fmt.Sprint(got), 64)
		ts.Check(err)
		bound, err := strconv.ParseFloat(least, 64)
		ts.Check(err)
		if number <= bound {
			ts.Fatalf("%s is %v, want more than %s", name, got, least)
		}
	}
}

// silence is input that never arrives.
type silence struct {
	asked chan struct{}
	end   <-chan struct{}
}

func (s silence) Read([]byte) (int, error) {
	close(s.asked)
	<-s.end
	return 0, io.EOF
}

func TestAppendEndsAtAnInterruptWhileItWaitsForInput(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	in := silence{make(chan struct{}), t.Context().Done()}
	go func() {
		<-in.asked
		interrupt()
	}()
	var out, stderr bytes.Buffer
	p := &program{in: in, out: &out, err: &stderr}
	if code := p.run(ctx, []string{"append", "--store", pgtest.URL(t)}); code != exitInterrupted {
		t.Errorf("exit code %d, want %d; standard error: %s", code, exitInterrupted, stderr.String())
	}
}

// full is a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestRunFailsIfTheReportCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"help", "query"},
		{"version"},
		{"speedrun", "--store", "mem:", "--duration", "1ms"},
		{"bench", "append", "--store", "mem:", "--duration", "1ms", "--json"},
	} {
		var stderr bytes.Buffer
		p := &program{in: strings.NewReader(""), out: full{}, err: &stderr}
		if code := p.run(t.Context(), args); code != exitError || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%v: exit code %d, want %d; standard error: %s", args, code, exitError, stderr.String())
		}
	}
}

// Scripts cannot check these lines, because they depend on the speed of the machine.
func TestSecondLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := &secondLines{to: &out, clients: 2, until: 3 * time.Second}
	l.watch(bench.Progress{Elapsed: time.Second, Ops: 300, Rounds: 2})
	l.watch(bench.Progress{Elapsed: 2 * time.Second, Ops: 300, Rounds: 2})
	l.watch(bench.Progress{Elapsed: 2950 * time.Millisecond, Ops: 800, Rounds: 6}) // left to end
	l.end(bench.Progress{Elapsed: 3100 * time.Millisecond, Ops: 850, Rounds: 7})
	const want = " [0:00:01s]         2 iterations       300 ops     6667 μs/op     300 ops/s\n" +
		" [0:00:02s]         2 iterations       300 ops        - μs/op       0 ops/s\n" +
		" [0:00:03s]         7 iterations       850 ops     4000 μs/op     500 ops/s\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReportReturnsTheExitCode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, exitDone},
		{errors.New("anything"), exitError},
		{usagef("hint", "what"), exitUsage},
		{errInterrupted, exitInterrupted},
	} {
		p := &program{err: io.Discard}
		if code := p.report(context.Background(), c.err); code != c.code {
			t.Errorf("report(%v) = %d, want %d", c.err, code, c.code)
		}
	}
}
