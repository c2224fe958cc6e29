// Command dcbstore reads, appends to, serves, checks, copies and measures event stores.
//
// Each subcommand has its own file. What they share is here (the store, the streams), in exit.go
// (errors, hints and exit codes) and in help.go (the topics of dcbstore help). The packages below
// internal do the work.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/stores"
)

func main() {
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the work gracefully and restores the default, so that a second one ends
	// the process at once.
	context.AfterFunc(ctx, stop)
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// program is one run of the command.
type program struct {
	in       io.Reader
	out, err io.Writer
	storeURL string // from --store or $DCB_STORE
	began    bool   // arguments and flags are valid
}

// run runs one command and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	out := &output{Writer: p.out}
	p.out = out
	root := p.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !p.began {
		err = usage{plainly(err), "dcbstore --help lists the commands, dcbstore COMMAND --help the flags of one"}
	}
	if err == nil {
		err = out.err
	}
	return p.report(ctx, err)
}

// plainly removes the name of the Go function that could not parse a number.
func plainly(err error) error {
	if number, ok := errors.AsType[*strconv.NumError](err); ok {
		return errors.New(strings.Replace(err.Error(), number.Error(), number.Err.Error(), 1))
	}
	return err
}

// noArguments returns a usage error if args is not empty. It is for commands without subcommands.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, not %q", cmd.CommandPath(), args)
	}
	return nil
}

// output keeps the first write error: a report that could not be written is a failure of the
// command.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "dcbstore",
		Short: "An event store for Dynamic Consistency Boundaries",
		Long: `dcbstore works with event stores for Dynamic Consistency Boundaries: in a directory, in PostgreSQL, in memory,
or on a server.

--store or the environment variable DCB_STORE names the store; the default is disk:dcb-data. See dcbstore help
stores.`,
		Example: `  dcbstore speedrun
  dcbstore bench append --clients 64 --store postgres://localhost/events
  dcbstore read StudentJoinedCourse @course:go`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRun:  func(*cobra.Command, []string) { p.began = true },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.PersistentFlags().StringVar(&p.storeURL, "store", os.Getenv(stores.Variable), "the `URL` of the store (default $DCB_STORE, or "+stores.Default+")")
	// The help shows the default in words: it must not print a password from the environment.
	root.PersistentFlags().Lookup("store").DefValue = ""
	root.AddCommand(p.speedrunCommand(), p.benchCommand(), p.appendCommand(), p.readCommand(), p.followCommand(),
		p.headCommand(), p.statsCommand(), p.verifyCommand(), p.backupCommand(), p.serveCommand(), p.versionCommand())
	root.AddCommand(helpTopics()...)
	root.SetHelpCommand(helpCommand())
	return root
}

// named returns the URL of the store.
func (p *program) named() string {
	if p.storeURL == "" {
		return stores.Default
	}
	return p.storeURL
}

// openLasting opens the store for a command that needs one which outlives the process.
func (p *program) openLasting(ctx context.Context) (stores.Store, error) {
	store, err := stores.Open(ctx, p.named())
	if err == nil && !stores.Lasts(p.named()) {
		_ = store.Close()
		return nil, usagef("name a store with --store or "+stores.Variable+"; see dcbstore help stores",
			"a store in memory is empty, and ends with this command")
	}
	return store, err
}

// openExisting opens the store for a command that only reads. It does not create a store.
func (p *program) openExisting(ctx context.Context) (stores.Store, error) {
	if dir, err := stores.Dir(p.named()); err == nil {
		exists, err := diskstore.Exists(dir)
		if err != nil {
			return nil, err
		}
		if !exists {
			return nil, usagef("name the directory of a store as --store disk:PATH; dcbstore append creates one", "there is no store in %s", dir)
		}
	}
	return p.openLasting(ctx)
}

// printJSON prints value on one line.
func (p *program) printJSON(value any) error {
	encoder := json.NewEncoder(p.out)
	encoder.SetEscapeHTML(false) // a URL can contain &
	return encoder.Encode(value)
}

// closing closes the store. It returns err, or else the error of Close.
func closing(store io.Closer, err error) error {
	if closed := store.Close(); err == nil {
		return closed
	}
	return err
}
