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

// The exit codes. exitCodesHelp says them to the user.
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
  1    an error that none of the others is
  2    wrong usage: a command, flag, query, event or store URL that is not right; nothing was done
  3    conflict: an event matching the condition of dcbstore append was recorded already; nothing was appended
  4    the store is unavailable now (in use by another process, a lost connection, a full disk); trying again may help
  5    what is stored is damaged; what dcbstore verify finds is told by this too
  130  interrupted (Ctrl-C or SIGTERM) before the work was done; dcbstore speedrun and dcbstore bench report what was done
       until then. dcbstore follow has no end of its own, so that for it an interrupt is the end: 0

An error is told on standard error as "dcbstore: what happened", mostly followed by "hint: what to do".`

// usage is an error in how the command was called.
type usage struct {
	error
	hint string
}

func (u usage) Unwrap() error { return u.error }

func usagef(hint, format string, args ...any) error {
	return usage{fmt.Errorf(format, args...), hint}
}

// errInterrupted: the work was ended by a signal before its time.
var errInterrupted = errors.New("interrupted")

// report tells err, if there is one, and returns the exit code.
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

// explain returns the exit code of err and what the user can do about it.
func explain(err error) (code int, hint string) {
	var wrong usage
	var unavailable *dcb.UnavailableError
	switch {
	case errors.As(err, &wrong):
		return exitUsage, wrong.hint
	case errors.Is(err, errInterrupted):
		return exitInterrupted, ""
	case errors.Is(err, stores.ErrURL):
		return exitUsage, "dcbstore help stores shows what a store is named like"
	case errors.Is(err, eventline.ErrLine):
		return exitUsage, "dcbstore help events shows what a line looks like; nothing of this append was recorded"
	case errors.Is(err, dcb.ErrNoEvents):
		return exitUsage, "events come from standard input, one a line; see dcbstore help events"
	case errors.Is(err, dcb.ErrInvalid):
		return exitUsage, ""
	case errors.Is(err, dcb.ErrConflict):
		return exitConflict, "read again, decide again, and append with --after the head that you read"
	case errors.As(err, new(damage)):
		return exitCorrupt, "what is damaged in the log is lost, and comes back only from a backup; an index file is made again by itself"
	case errors.Is(err, dcb.ErrCorrupt):
		return exitCorrupt, ""
	case errors.Is(err, diskstore.ErrLocked):
		return exitUnavailable, "end the process that has it open, or let it do the work; dcbstore verify and dcbstore backup need not wait for it"
	case vfs.IsFull(err):
		return exitUnavailable, "make room on the disk, and try again; nothing that was recorded is lost"
	case errors.As(err, &unavailable) && unavailable.OutcomeUnknown:
		return exitUnavailable, "look whether it was recorded; if every event has an id, simply append it again"
	case errors.Is(err, dcb.ErrUnavailable):
		return exitUnavailable, "see whether the store is running and can be reached, and try again"
	case errors.Is(err, dcb.ErrDuplicateID):
		return exitError, "give the events ids of their own, or append exactly what was appended"
	}
	return exitError, ""
}
