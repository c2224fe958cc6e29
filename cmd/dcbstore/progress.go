package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dcbstore/dcb/cmd/dcbstore/internal/bench"
)

// quietFor is how long work goes on in silence where nobody sits at a terminal, and the time between two lines then.
const quietFor = 2 * time.Second

// progressLine tells how long work is getting on: on a terminal in one line that is written over, elsewhere in a line now and
// then. It belongs to one goroutine at a time.
type progressLine struct {
	to       io.Writer
	terminal bool
	last     time.Time // when something was told, or the work began
}

func newProgressLine(to io.Writer) *progressLine {
	return &progressLine{to: to, terminal: isTerminal(to), last: time.Now()}
}

func (l *progressLine) tell(format string, args ...any) {
	switch {
	case l.terminal:
		// Back to the first column, and clear the line.
		fmt.Fprintf(l.to, "\r\x1b[K"+format, args...)
	case time.Since(l.last) >= quietFor:
		fmt.Fprintf(l.to, format+"\n", args...)
		l.last = time.Now()
	}
}

// clear removes what tell left on a terminal.
func (l *progressLine) clear() {
	if l.terminal {
		fmt.Fprint(l.to, "\r\x1b[K")
	}
}

// working tells how far a measurement got.
func (l *progressLine) working(what string) func(bench.Progress) {
	return func(p bench.Progress) {
		l.tell("%s: %.0f s, %s ops, %s ops/s", what, p.Elapsed.Seconds(), thousands(p.Ops),
			thousands(int64(float64(p.Ops)/p.Elapsed.Seconds())))
	}
}

// filling tells how far the filling of a store got.
func (l *progressLine) filling(events, wanted uint64) {
	l.tell("filling the store: %s of %s events", thousands(int64(events)), thousands(int64(wanted)))
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// thousands writes 1234567 as 1,234,567. The number is not negative.
func thousands(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
