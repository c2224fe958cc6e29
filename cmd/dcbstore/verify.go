package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/stores"
)

func (p *program) verifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every byte of a store in a directory",
		Long: `Check the store in a directory: every record, event and position of the log, and every index file against the
log. It changes nothing, and other processes can use or open the store meanwhile.

The exit code is 0 if the store is sound, and 5 if something is damaged. The report names the file, offset and
position of each damage. Damage of an index file loses nothing: the store rebuilds the file from the log.`,
		Example: `  dcbstore verify
  dcbstore verify --store disk:/var/lib/events --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.verify(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object instead of the report")
	return cmd
}

func (p *program) verify(ctx context.Context, asJSON bool) error {
	dir, err := p.directory()
	if err != nil {
		return err
	}
	line := newProgressLine(p.err)
	report, err := diskstore.Verify(ctx, dir, &diskstore.InspectOptions{Progress: line.bytes("verifying")})
	line.clear()
	if err != nil {
		return err
	}
	if asJSON {
		err = p.printJSON(verified(report))
	} else {
		err = printVerified(p.out, report)
	}
	if err == nil && len(report.Problems) > 0 {
		err = damage{report.Problems}
	}
	return err
}

// verifyResult is the report as JSON.
type verifyResult struct {
	Sound           bool     `json:"sound"`
	Events          uint64   `json:"events"`
	Segments        int      `json:"segments"`
	IndexFiles      int      `json:"indexFiles"`
	Bytes           int64    `json:"bytes"`
	InUse           bool     `json:"inUse"`
	UnfinishedBytes int64    `json:"unfinishedBytes"`
	Unindexed       int      `json:"unindexedSegments"`
	Problems        []string `json:"problems"`
}

func verified(r diskstore.Report) verifyResult {
	result := verifyResult{
		Sound: len(r.Problems) == 0, Events: r.Events, Segments: r.Segments, IndexFiles: r.IndexFiles, Bytes: r.Bytes,
		InUse: r.InUse, UnfinishedBytes: r.Unfinished, Unindexed: r.Unindexed, Problems: []string{},
	}
	for _, problem := range r.Problems {
		result.Problems = append(result.Problems, problem.Error())
	}
	return result
}

func printVerified(to io.Writer, r diskstore.Report) error {
	_, err := fmt.Fprintf(to, "%s events in %d segments, %d index files, %s bytes\n",
		thousands(int64(r.Events)), r.Segments, r.IndexFiles, thousands(r.Bytes))
	if r.InUse {
		fmt.Fprintln(to, "the store is in use; what it wrote during the check was not checked")
	}
	if r.Unfinished > 0 {
		fmt.Fprintf(to, "%s bytes after the end of the log are an unfinished write of a crash; the next opening removes them\n", thousands(r.Unfinished))
	}
	if r.Unindexed > 0 {
		fmt.Fprintf(to, "%d segments have no index file yet; the next opening builds it\n", r.Unindexed)
	}
	for _, problem := range r.Problems {
		fmt.Fprintln(to, problem)
	}
	if len(r.Problems) == 0 {
		fmt.Fprintln(to, "all is well")
	}
	return err
}

// damage is the error of verify for a damaged store.
type damage struct{ problems []error }

func (d damage) Error() string {
	if len(d.problems) == 1 {
		return "the store is damaged in 1 place"
	}
	return fmt.Sprintf("the store is damaged in %d places", len(d.problems))
}

func (d damage) Unwrap() []error { return d.problems }

// directory returns the directory of the store, for commands that work only on directories.
func (p *program) directory() (string, error) {
	dir, err := stores.Dir(p.named())
	if err != nil {
		return "", usage{err, "this command is for stores in a directory; name one as --store disk:PATH"}
	}
	if exists, err := diskstore.Exists(dir); err == nil && !exists {
		return "", usagef("name the directory of a store as --store disk:PATH", "there is no store in %s", dir)
	}
	return dir, nil
}

// bytes returns a function that prints progress in bytes.
func (l *progressLine) bytes(what string) func(done, total int64) {
	return func(done, total int64) {
		l.print("%s: %s of %s MiB", what, thousands(done>>20), thousands(total>>20))
	}
}
