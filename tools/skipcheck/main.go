// Command skipcheck reads the output of go test -json and prints it as go test does without
// -json. It fails if a test was skipped, because a test that cannot run must not look like one
// that passed:
//
//	go test -json ./... | go -C tools run ./skipcheck
//
// It does not fail if a test failed. The shell's pipefail passes on the exit code of go test.
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

// event is described by go doc test2json.
type event struct {
	Action, Package, Test, Output string
}

// translate prints the output of packages at once, and the output of a test if it fails.
func translate(events io.Reader, out io.Writer) error {
	running := make(map[string]string) // the output of tests that have not ended, by package and test
	var skipped []string
	for decoder := json.NewDecoder(events); ; {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return skippedError(skipped)
		} else if err != nil {
			return fmt.Errorf("skipcheck: %w", err)
		}
		test := e.Package + " " + e.Test
		text := ""
		switch {
		case e.Action == "output" && strings.HasPrefix(e.Output, "=== "), e.Action == "output" && e.Output == "PASS\n":
			// go test prints these only with -v.
		case e.Action == "output" && e.Test != "":
			running[test] += e.Output
		case e.Action == "output", e.Action == "build-output":
			text = e.Output
		case e.Action == "fail":
			text = take(running, test)
		case e.Action == "skip" && e.Test != "":
			skipped = append(skipped, test+"\n"+running[test])
			delete(running, test)
		case e.Action == "pass":
			delete(running, test)
		}
		if _, err := io.WriteString(out, text); err != nil {
			return fmt.Errorf("skipcheck: %w", err)
		}
	}
}

// take removes and returns the output of a failed test. If a package failed it takes all tests of
// the package, because after a panic or a timeout they have no end of their own.
func take(running map[string]string, test string) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(running)) {
		if key == test || strings.HasSuffix(test, " ") && strings.HasPrefix(key, test) {
			text.WriteString(running[key])
			delete(running, key)
		}
	}
	return text.String()
}

func skippedError(skipped []string) error {
	if len(skipped) == 0 {
		return nil
	}
	return fmt.Errorf("skipcheck: %d tests were skipped:\n%s", len(skipped), strings.Join(skipped, ""))
}
