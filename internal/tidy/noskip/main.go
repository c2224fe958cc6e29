// Noskip reads what go test -json prints, prints it as go test would have without -json, and fails if a test was skipped:
//
//	go test -json ./... | noskip
//
// A test that cannot run here must not look like one that passed. What go test reports as failed is for go test's own exit
// code to tell; the shell's pipefail passes it on.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := translate(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// event is what go doc test2json describes.
type event struct {
	Action, Package, Test, Output string
}

func translate(events io.Reader, out io.Writer) error {
	held := make(map[string]string) // by package and test: what a test printed that has not ended
	var skipped []string
	for decoder := json.NewDecoder(events); ; {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return skippedError(skipped)
		} else if err != nil {
			return fmt.Errorf("noskip: %w", err)
		}
		test := e.Package + " " + e.Test
		text := ""
		switch {
		case e.Action == "output" && strings.HasPrefix(e.Output, "=== "), e.Action == "output" && e.Output == "PASS\n":
			// That a test goes on, or passed, is told only with -v.
		case e.Action == "output" && e.Test != "":
			held[test] += e.Output
		case e.Action == "output", e.Action == "build-output":
			text = e.Output
		case e.Action == "fail":
			text = take(held, test)
		case e.Action == "skip" && e.Test != "":
			skipped = append(skipped, test+"\n"+held[test])
			delete(held, test)
		case e.Action == "pass":
			delete(held, test)
		}
		if _, err := io.WriteString(out, text); err != nil {
			return fmt.Errorf("noskip: %w", err)
		}
	}
}

// take removes and returns what is held of a test that failed, or where a package failed, of all its tests: after
// a panic or a timeout they never end.
func take(held map[string]string, test string) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(held)) {
		if key == test || strings.HasSuffix(test, " ") && strings.HasPrefix(key, test) {
			text.WriteString(held[key])
			delete(held, key)
		}
	}
	return text.String()
}

func skippedError(skipped []string) error {
	if len(skipped) == 0 {
		return nil
	}
	return fmt.Errorf("noskip: %d tests were skipped:\n%s", len(skipped), strings.Join(skipped, ""))
}
