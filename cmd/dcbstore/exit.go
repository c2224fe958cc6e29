package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/cmd/dcbstore/internal/eventline"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
	"github.com/dcbstore/dcb/stores"
)

// The exit codes. exitCodesHelp documents them.
const (
	exitDone        = 0
	exitError       = 1
	exitUsage       = 2
	exitConflict    = 3
	exitUnavailable = 4
	exitCorrupt     = 5
	exitInterrupted = 130
)

const exitCodesHelp = `dcbstore ends with one of these exit codes:

  0    done
  1    any other error
  2    wrong usage: a wrong command, flag, query, event or store URL; nothing was done
  3    conflict: an event matches the condition of dcbstore append; nothing was recorded
  4    the store is unavailable now (used by another process, lost connection, full disk); trying again can help
  5    the stored data is damaged, or dcbstore verify found damage
  130  interrupted (Ctrl-C or SIGTERM) before the work was done; dcbstore speedrun and dcbstore bench report the
       work done until then. An interrupt is the normal end of dcbstore follow: 0

An error is printed to standard error as "dcbstore: what happened", usually followed by "hint: what to do".`

// usage is an error in the command line, with a hint.
type usage struct {
	error
	hint string
}

func (u usage) Unwrap() error { return u.error }

func usagef(hint, format string, args ...any) error {
	return usage{fmt.Errorf(format, args...), hint}
}

// errInterrupted means that a signal ended the work early.
var errInterrupted = errors.New("interrupted")

// report prints err, if it is not nil, and returns the exit code.
func (p *program) report(ctx context.Context, err error) int {
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	text := err.Error()
	for _, prefix := range []string{"dcb: ", "stores: ", "diskstore: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	fmt.Fprintf(p.err, "dcbstore: %s\n", text)
	code, hint := explain(err)
	if hint != "" {
		fmt.Fprintf(p.err, "hint: %s\n", hint)
	}
	return code
}

// isDamage reports whether err is a damage.
func isDamage(err error) bool {
	_, ok := errors.AsType[damage](err)
	return ok
}

// explain returns the exit code for err and a hint for the user.
func explain(err error) (code int, hint string) {
	wrong, isUsage := errors.AsType[usage](err)
	unavailable, _ := errors.AsType[*dcb.UnavailableError](err)
	switch {
	case isUsage:
		return exitUsage, wrong.hint
	case errors.Is(err, errInterrupted):
		return exitInterrupted, ""
	case errors.Is(err, stores.ErrURL):
		return exitUsage, "dcbstore help stores lists the URLs of stores"
	case errors.Is(err, eventline.ErrLine):
		return exitUsage, "dcbstore help events explains the lines; nothing of this append was recorded"
	case errors.Is(err, dcb.ErrNoEvents):
		return exitUsage, "write events to standard input, one per line; see dcbstore help events"
	case errors.Is(err, dcb.ErrInvalid):
		return exitUsage, ""
	case errors.Is(err, dcb.ErrConflict):
		return exitConflict, "read again, decide again, and append with --after the head that you read"
	case isDamage(err):
		return exitCorrupt, "restore damaged parts of the log from a backup; the store rebuilds damaged index files itself"
	case errors.Is(err, dcb.ErrCorrupt):
		return exitCorrupt, ""
	case errors.Is(err, diskstore.ErrLocked):
		return exitUnavailable, "end the process that has it open, or use the store through it; dcbstore verify and dcbstore backup work beside it"
	case vfs.IsFull(err):
		return exitUnavailable, "free space on the disk and try again; nothing that was recorded is lost"
	case unavailable != nil && unavailable.OutcomeUnknown:
		return exitUnavailable, "read whether it was recorded; if every event has an id, append it again"
	case errors.Is(err, dcb.ErrUnavailable):
		return exitUnavailable, "check that the store is running and can be reached, and try again"
	case errors.Is(err, dcb.ErrDuplicateID):
		return exitError, "give the events new ids, or repeat exactly the append that recorded them"
	}
	return exitError, ""
}
