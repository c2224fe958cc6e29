// Command dcbstore opens any event store of this project: to look at it, to append to it, and to measure it.
//
// Each command has a file of its own; what they share is here (the store, the streams), in exit.go (errors, hints and exit
// codes) and in help.go (the topics of dcbstore help). The packages below internal do the work.
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
	// The first signal ends the work in good order. It also restores the default, so that a second one ends it at once.
	context.AfterFunc(ctx, stop)
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// program is one call of the command.
type program struct {
	in       io.Reader
	out, err io.Writer
	storeURL string // as --store says, or $DCB_STORE
	began    bool   // arguments and flags were understood
}

// run carries out one command and returns the exit code.
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

// plainly leaves out what Go calls the function that could not read a number.
func plainly(err error) error {
	if number, ok := errors.AsType[*strconv.NumError](err); ok {
		return errors.New(strings.Replace(err.Error(), number.Error(), number.Err.Error(), 1))
	}
	return err
}

// noArguments is noArguments, in words that are true of a command without subcommands.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, and not %q", cmd.CommandPath(), args)
	}
	return nil
}

// output remembers the first error of writing: a report that could not be written is no success, whoever wrote it.
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
		Long: `dcbstore works with event stores for Dynamic Consistency Boundaries: in a directory, in PostgreSQL, in memory.

The store is named by --store or by the environment variable DCB_STORE, and is the directory dcb-data if neither names one; see dcbstore help stores.`,
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
	// The default is shown in words: a password in the environment must not show up in a help text.
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

// openLasting opens the store for a command that would make no sense on one that is empty and forgets.
func (p *program) openLasting(ctx context.Context) (stores.Store, error) {
	store, err := stores.Open(ctx, p.named())
	if err == nil && !stores.Lasts(p.named()) {
		_ = store.Close()
		return nil, usagef("name a store that lasts by --store or "+stores.Variable+", or none for "+stores.Default+"; see dcbstore help stores",
			"a store in memory is empty and forgets everything when the command ends")
	}
	return store, err
}

// openExisting opens the store for a command that only looks. It makes none where there is none.
func (p *program) openExisting(ctx context.Context) (stores.Store, error) {
	if dir, err := stores.Dir(p.named()); err == nil {
		exists, err := diskstore.Exists(dir)
		if err != nil {
			return nil, err
		}
		if !exists {
			return nil, usagef("name the directory of a store as --store disk:PATH; dcbstore append makes a new one", "there is no store in %s", dir)
		}
	}
	return p.openLasting(ctx)
}

// printJSON prints value on one line.
func (p *program) printJSON(value any) error {
	encoder := json.NewEncoder(p.out)
	encoder.SetEscapeHTML(false) // a URL may have & in it
	return encoder.Encode(value)
}

// closing closes the store when a command is done with it, and returns err or else what went wrong with that.
func closing(store io.Closer, err error) error {
	if closed := store.Close(); err == nil {
		return closed
	}
	return err
}
