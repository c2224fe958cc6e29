// Command refcheck finds references in comments and Markdown pages to things that do not exist:
//
//   - links and anchors of pages, and paths and file names in `code`
//   - targets of make, and packages in go commands
//   - doc links, and package.Name in a comment or in `code`
//   - files that a comment names, and doc comments that begin with another name
//
// It prints one line for each, and exits with code 1 if there is one:
//
//	go -C tools run ./refcheck ..
//
// It does not follow links to other sites. A page names what belongs to others, so that it is not
// searched here, in a comment: <!-- foreign: buildDecisionModel conditionalAppend -->. Start
// reading at Check.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: refcheck DIRECTORY")
		os.Exit(2)
	}
	problems, err := Check(os.DirFS(os.Args[1]))
	if err != nil {
		fmt.Fprintln(os.Stderr, "refcheck:", err)
		os.Exit(2)
	}
	for _, p := range problems {
		fmt.Println(p)
	}
	if len(problems) > 0 {
		fmt.Fprintf(os.Stderr, "refcheck: %d references to things that do not exist\n", len(problems))
		os.Exit(1)
	}
}
