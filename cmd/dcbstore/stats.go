package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcbstore/dcb/diskstore"
)

func (p *program) statsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Count what a store in a directory holds",
		Long: `Count what the store in a directory holds: events, segments of the log, index files, bytes, and distinct tags,
IDs and types. No other process can have the store open.`,
		Example: `  dcbstore stats
  dcbstore stats --store disk:/var/lib/events --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.stats(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object instead of the report")
	return cmd
}

func (p *program) stats(ctx context.Context, asJSON bool) error {
	if _, err := p.directory(); err != nil {
		return err
	}
	store, err := p.openExisting(ctx)
	if err != nil {
		return err
	}
	disk, ok := store.(*diskstore.Store)
	if !ok {
		return closing(store, errors.New("stats is for stores in a directory"))
	}
	stats, err := disk.Stats(ctx)
	switch {
	case err != nil:
	case asJSON:
		err = p.printJSON(stats)
	default:
		err = printStats(p.out, stats)
	}
	return closing(store, err)
}

// maxTypes is the number of types in the report for people.
const maxTypes = 20

func printStats(to io.Writer, s diskstore.Stats) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s events, %s distinct tags, %s IDs, %s types\n",
		thousands(int64(s.Events)), thousands(int64(s.Tags)), thousands(int64(s.IDs)), thousands(int64(len(s.Types))))
	fmt.Fprintf(&text, "log: %s bytes in %d segments\n", thousands(s.LogBytes), s.Segments)
	fmt.Fprintf(&text, "index: %s bytes in %d files\n", thousands(s.IndexBytes), s.IndexFiles)
	for i, t := range s.Types {
		if i == maxTypes {
			fmt.Fprintf(&text, "  and %d types more\n", len(s.Types)-maxTypes)
			break
		}
		fmt.Fprintf(&text, "  %12s  %s\n", thousands(int64(t.Events)), t.Type)
	}
	_, err := io.WriteString(to, text.String())
	return err
}
