// Pgtest is for the scripts around the tests:
//
//	pgtest missing          prints the Debian packages that the tests need and that are not installed, in one line
//	pgtest run COMMAND …    runs a command with DCB_TEST_POSTGRES naming a server that lives as long as it does
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"github.com/dcbstore/dcb/internal/pgtest"
)

func main() {
	err := run(os.Args[1:])
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.Exited():
		os.Exit(exit.ExitCode()) // the command has said what there is to say
	default:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "missing":
		_, err := fmt.Println(strings.Join(pgtest.Missing(), " "))
		return err
	case len(args) > 1 && args[0] == "run":
		return withServer(args[1], args[2:])
	}
	return errors.New("pgtest: want the arguments: missing, or: run COMMAND …")
}

func withServer(name string, args []string) (err error) {
	server, err := pgtest.Start(pgtest.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "DCB_TEST_POSTGRES="+server.DSN())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return outlive(cmd)
}

// outlive runs cmd and does not end before it: an interrupt at the terminal reaches cmd too, it ends, and only then the server.
// The interrupt is taken and not ignored, for what a process ignores the commands that it starts ignore as well.
func outlive(cmd *exec.Cmd) error {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	return cmd.Run()
}
