package main

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/spf13/cobra"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/cmd/dcbstore/internal/eventline"
)

type appendFlags struct {
	ifNoneMatch []string
	after       dcb.Position
	batch       int
}

func (p *program) appendCommand() *cobra.Command {
	var flags appendFlags
	cmd := &cobra.Command{
		Use:   "append",
		Short: "Record the events on standard input, all or none",
		Long: `Record the events on standard input, one line of JSON each, as one append: all of them or none, at
consecutive positions. Print the position of the last one.

With --if-none-match the events are recorded only if no event matches the query. Each --if-none-match is one
item of the query; an event matches the query if it matches one of its items. With --after, events up to that
position are ignored: give the head that you read before you decided. If an event matches, the exit code is 3.

With --batch N the input can have any length: every N lines are one append. Print the last position of each.

See dcbstore help query and dcbstore help events.`,
		Example: `  echo '{"type":"CourseRegistered","tags":["course:go"]}' | dcbstore append --if-none-match 'CourseRegistered @course:go'
  dcbstore append --if-none-match @course:go --after 42 < decided.jsonl
  dcbstore append --batch 1000 < many.jsonl`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.append(cmd.Context(), flags, cmd.Flags().Changed("after"))
		},
	}
	cmd.Flags().StringArrayVar(&flags.ifNoneMatch, "if-none-match", nil, "record only if no event matches the query `ITEM`; can be given several times")
	position(cmd.Flags(), &flags.after, "after", "with --if-none-match: ignore events up to position `N`")
	cmd.Flags().IntVar(&flags.batch, "batch", 0, "append every `N` lines separately; 0 means all lines at once")
	return cmd
}

func (p *program) append(ctx context.Context, flags appendFlags, afterGiven bool) error {
	condition, err := flags.condition(afterGiven)
	if err != nil {
		return err
	}
	store, err := p.openLasting(ctx)
	if err != nil {
		return err
	}
	input := until(ctx, p.in)
	defer input.Close()
	events := eventline.Read(input)
	if flags.batch > 0 {
		return closing(store, p.appendBatches(ctx, store, events, flags.batch))
	}
	return closing(store, p.appendAll(ctx, store, events, condition))
}

// until returns a reader of in that fails with the error of ctx as soon as ctx ends, even while in
// waits for a terminal. Input that arrives after that is lost.
func until(ctx context.Context, in io.Reader) io.ReadCloser {
	reader, writer := io.Pipe()
	context.AfterFunc(ctx, func() { writer.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(writer, in)
		writer.CloseWithError(err)
	}()
	return reader
}

func (f appendFlags) condition(afterGiven bool) (*dcb.AppendCondition, error) {
	switch {
	case f.batch < 0 || f.batch > dcb.MaxEvents:
		return nil, usagef("omit it to append all lines at once", "--batch is %d; it must be 0 to %d", f.batch, dcb.MaxEvents)
	case len(f.ifNoneMatch) == 0 && afterGiven:
		return nil, usagef("add --if-none-match with the events that must not have been recorded since", "--after needs --if-none-match")
	case len(f.ifNoneMatch) == 0:
		return nil, nil
	case f.batch > 0:
		return nil, usagef("omit one of them", "--batch makes several appends, but --if-none-match is the condition of one")
	}
	query, err := parseQuery(f.ifNoneMatch)
	if err != nil {
		return nil, err
	}
	return &dcb.AppendCondition{FailIfEventsMatch: query, After: f.after}, nil
}

type lines = iter.Seq2[dcb.Event, error]

// appendAll records the whole input as one append. It stops reading soon after the limits of an
// append.
func (p *program) appendAll(ctx context.Context, store dcb.Store, input lines, condition *dcb.AppendCondition) error {
	var events []dcb.Event
	bytes := 0
	for event, err := range input {
		if err != nil {
			return err
		}
		events = append(events, event)
		bytes += len(event.Data)
		if len(events) > dcb.MaxEvents || bytes > dcb.MaxAppendBytes {
			return usagef("append them in parts with --batch",
				"standard input has more than one append can hold: %d events and %d bytes", dcb.MaxEvents, dcb.MaxAppendBytes)
		}
	}
	last, err := store.Append(ctx, events, condition)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.out, last)
	return err
}

func (p *program) appendBatches(ctx context.Context, store dcb.Store, input lines, size int) error {
	var batch []dcb.Event
	recorded := 0
	flush := func() error {
		last, err := store.Append(ctx, batch, nil)
		if err != nil {
			return fmt.Errorf("%w (%d events were recorded before that)", err, recorded)
		}
		recorded += len(batch)
		batch = batch[:0]
		_, err = fmt.Fprintln(p.out, last)
		return err
	}
	for event, err := range input {
		if err != nil {
			return fmt.Errorf("%w (%d events were recorded before that)", err, recorded)
		}
		if batch = append(batch, event); len(batch) == size {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(batch) == 0 && recorded > 0 {
		return nil
	}
	return flush()
}
