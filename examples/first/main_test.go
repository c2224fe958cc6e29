package main

import (
	"os"
	"strings"
	"testing"
)

func Example() {
	main()
	// Output:
	// ann joins: <nil>
	// bob joins: <nil>
	// cid joins: the course is full
}

func TestREADMEShowsThisProgram(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(source), "\n") // without its package doc
	if lines := strings.Count(program, "\n"); lines > 30 {
		t.Errorf("the program has %d lines, want at most 30", lines)
	}
	if !strings.Contains(string(readme), "```go\n"+program+"```\n") {
		t.Error("the README does not contain this program")
	}
}
