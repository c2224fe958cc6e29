package decidetest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/dcbstore/dcb"
)

// Counting is a store that counts the calls of another store.
type Counting struct {
	dcb.Store

	Reads     atomic.Int64 // calls of Read
	Events    atomic.Int64 // events that Read returned
	Appends   atomic.Int64 // calls of Append
	Conflicts atomic.Int64 // calls of Append that failed with dcb.ErrConflict
}

// Count returns a store that forwards all calls to store and counts them, from zero.
func Count(store dcb.Store) *Counting { return &Counting{Store: store} }

// Read implements dcb.Store.
func (c *Counting) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result, err := c.Store.Read(ctx, q, opts)
	c.Reads.Add(1)
	c.Events.Add(int64(len(result.Events)))
	return result, err
}

// Append implements dcb.Store.
func (c *Counting) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := c.Store.Append(ctx, events, condition)
	c.Appends.Add(1)
	if errors.Is(err, dcb.ErrConflict) {
		c.Conflicts.Add(1)
	}
	return position, err
}
