package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dcbstore/dcb/diskstore"
)

func (p *program) backupCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backup DIRECTORY",
		Short: "Copy a store in a directory to another directory",
		Long: `Copy the store in a directory to another directory, while it is in use or not. The copy has every event that
was recorded when the backup began, and is a store like any other: dcbstore read --store disk:DIRECTORY.

A second backup to the same directory copies only new events. The backup checks all that it copies. If
something is damaged the backup stops, and the exit code is 5.`,
		Example: `  dcbstore backup /backups/events
  dcbstore backup --store disk:/var/lib/events /backups/events`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return fmt.Errorf("backup takes one directory, not %q", args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return p.backup(cmd.Context(), args[0], asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object instead of the report")
	return cmd
}

func (p *program) backup(ctx context.Context, to string, asJSON bool) error {
	dir, err := p.directory()
	if err != nil {
		return err
	}
	line := newProgressLine(p.err)
	report, err := diskstore.Backup(ctx, dir, to, &diskstore.InspectOptions{Progress: line.bytes("copying")})
	line.clear()
	if err != nil {
		return err
	}
	if asJSON {
		return p.printJSON(map[string]any{
			"head": report.Head, "copiedFiles": report.Copied, "reusedFiles": report.Reused, "copiedBytes": report.CopiedBytes,
		})
	}
	_, err = fmt.Fprintf(p.out, "events up to position %s are in %s: %d files copied (%s bytes), %d reused\n",
		thousands(int64(report.Head)), to, report.Copied, thousands(report.CopiedBytes), report.Reused)
	return err
}
