package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/cmd/dcbstore/internal/eventline"
	"github.com/dcbstore/dcb/cmd/dcbstore/internal/querytext"
	"github.com/dcbstore/dcb/stores"
)

const queryHint = "dcbstore help query explains how a query is written"

// parseQuery returns the query that the arguments describe. Without arguments it selects every
// event.
func parseQuery(items []string) (dcb.Query, error) {
	if len(items) == 0 {
		return dcb.All(), nil
	}
	query, err := querytext.Parse(items...)
	if err != nil {
		return nil, usage{err, queryHint}
	}
	if err := dcb.ValidateRead(query, dcb.ReadOptions{}); err != nil {
		return nil, usage{err, queryHint}
	}
	return query, nil
}

// position is a flag that holds a position.
func position(flags *pflag.FlagSet, to *dcb.Position, name, help string) {
	flags.Uint64Var((*uint64)(to), name, 0, help)
}

func (p *program) readCommand() *cobra.Command {
	var opts dcb.ReadOptions
	cmd := &cobra.Command{
		Use:   "read [QUERY-ITEM...]",
		Short: "Print the events that a query selects, as lines of JSON",
		Long: `Print the events that a query selects, oldest first, one line of JSON each. Without a query, print every
event.

See dcbstore help query and dcbstore help events.`,
		Example: `  dcbstore read
  dcbstore read 'StudentJoinedCourse @course:go'
  dcbstore read --backwards --limit 10 @student:ann`,
		RunE: func(cmd *cobra.Command, args []string) error { return p.read(cmd.Context(), args, opts) },
	}
	position(cmd.Flags(), &opts.After, "after", "only events after position `N`")
	position(cmd.Flags(), &opts.Before, "before", "only events before position `N`; 0 means no bound")
	cmd.Flags().IntVar(&opts.Limit, "limit", 0, "at most `N` events; 0 means no limit")
	cmd.Flags().BoolVar(&opts.Backwards, "backwards", false, "newest first")
	return cmd
}

func (p *program) read(ctx context.Context, items []string, opts dcb.ReadOptions) error {
	query, store, err := p.queried(ctx, items)
	if err != nil {
		return err
	}
	lines := eventline.NewWriter(p.out)
	for event, err := range dcb.Stream(ctx, store, query, opts) {
		if err == nil {
			err = lines.Write(event)
		}
		if err != nil {
			_ = lines.Flush() // report the first error
			return closing(store, err)
		}
	}
	return closing(store, lines.Flush())
}

// queried returns the query and the opened store, which the caller must close.
func (p *program) queried(ctx context.Context, items []string) (dcb.Query, stores.Store, error) {
	query, err := parseQuery(items)
	if err != nil {
		return nil, nil, err
	}
	store, err := p.openExisting(ctx)
	return query, store, err
}

func (p *program) followCommand() *cobra.Command {
	var after dcb.Position
	cmd := &cobra.Command{
		Use:   "follow [QUERY-ITEM...]",
		Short: "Print the events that a query selects, and new ones as they are recorded",
		Long: `Print the events that a query selects as lines of JSON: first the recorded ones, then new ones as they are
recorded. Ctrl-C ends it.

See dcbstore help query and dcbstore help events.`,
		Example: `  dcbstore follow
  dcbstore follow --after "$(dcbstore head)" 'StudentJoinedCourse @course:go'`,
		RunE: func(cmd *cobra.Command, args []string) error { return p.follow(cmd.Context(), args, after) },
	}
	position(cmd.Flags(), &after, "after", "only events after position `N`")
	return cmd
}

func (p *program) follow(ctx context.Context, items []string, after dcb.Position) error {
	query, store, err := p.queried(ctx, items)
	if err != nil {
		return err
	}
	lines := eventline.NewWriter(p.out)
	for batch, err := range dcb.Follow(ctx, store, query, after) {
		for _, event := range batch.Events {
			if err == nil {
				err = lines.Write(event)
			}
		}
		if err == nil {
			err = lines.Flush()
		}
		if ctx.Err() != nil {
			break // Ctrl-C is the normal end
		}
		if err != nil {
			return closing(store, err)
		}
	}
	return closing(store, nil)
}

func (p *program) headCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "head",
		Short:   "Print the position of the last event",
		Long:    "Print the position of the last event, which is also the number of events; 0 if there are none.",
		Example: `  after=$(dcbstore head)`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := p.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			head, err := store.Head(cmd.Context())
			if err == nil {
				_, err = fmt.Fprintln(p.out, head)
			}
			return closing(store, err)
		},
	}
}
