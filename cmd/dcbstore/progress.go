package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dcbstore/dcb/cmd/dcbstore/internal/bench"
)

// lineInterval is the time between two lines of progress where the output is no terminal.
const lineInterval = 2 * time.Second

// progressLine prints the progress of a long task. On a terminal it overwrites one line;
// elsewhere it prints a line every lineInterval. It belongs to one goroutine at a time.
type progressLine struct {
	to       io.Writer
	terminal bool
	last     time.Time // of the last line, or of the start
}

func newProgressLine(to io.Writer) *progressLine {
	return &progressLine{to: to, terminal: isTerminal(to), last: time.Now()}
}

func (l *progressLine) print(format string, args ...any) {
	switch {
	case l.terminal:
		// Return to the first column and clear the line.
		fmt.Fprintf(l.to, "\r\x1b[K"+format, args...)
	case time.Since(l.last) >= lineInterval:
		fmt.Fprintf(l.to, format+"\n", args...)
		l.last = time.Now()
	}
}

// clear removes the line from a terminal.
func (l *progressLine) clear() {
	if l.terminal {
		fmt.Fprint(l.to, "\r\x1b[K")
	}
}

// measuring returns a function that prints the progress of a measurement.
func (l *progressLine) measuring(what string) func(bench.Progress) {
	return func(p bench.Progress) {
		l.print("%s: %.0f s, %s ops, %s ops/s", what, p.Elapsed.Seconds(), thousands(p.Ops),
			thousands(int64(float64(p.Ops)/p.Elapsed.Seconds())))
	}
}

// filling prints the progress of filling a store.
func (l *progressLine) filling(events, total uint64) {
	l.print("filling the store: %s of %s events", thousands(int64(events)), thousands(int64(total)))
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
