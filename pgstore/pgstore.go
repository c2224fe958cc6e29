// Package pgstore keeps events in PostgreSQL, version 13 or later, in a schema of its own. Any number of stores, in any
// number of processes, may use one schema at once.
//
// # How it keeps the contract
//
// Every append, conditional or not, takes one advisory lock before it checks and holds it to commit. So positions are dense and
// become visible in order, no event can come between a check and what depends on it, and every read is right as it is, with no
// look at who else is committing. To make one lock no bottleneck the appends that wait in a process travel together: one call
// of a database function decides each in its own right and records the accepted ones, in one round trip, one transaction and one
// sync. A read is one call of another function, whose events and head come from one snapshot.
//
// # Two strategies
//
// [Tags] keeps a row for each tag of each event, in an index that answers by itself which events have a tag; what a decision
// costs does not depend on how many events there are. [TSVector] keeps types and tags in one tsvector under a GIN index, as the
// first published design did; it is there to compare with. A schema has one strategy, chosen when it is made.
//
// Start reading at append.go, then sql/functions.sql.tmpl.
//
// # Connections
//
// A store holds one connection for its appends, one to listen on once somebody waited, and a pool for its reads, whose size is
// pool_max_conns in the URL (default 4, or the number of processors if that is greater). Behind PgBouncer in transaction mode it
// works as it is: it notices that prepared statements are lost there and does without, and Wait polls.
//
// # Rights
//
// The role that first opens a store must be allowed to create the schema, or own an empty one. A role that is to use a store that is
// there needs no more than this (with dcb for the schema's name; the second table only with Tags):
//
//	GRANT USAGE ON SCHEMA dcb TO app;
//	GRANT SELECT ON dcb.store TO app;
//	GRANT SELECT, INSERT ON dcb.events, dcb.event_tags TO app;
//	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dcb TO app;
//
// One that may only read can do without INSERT.
package pgstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/group"
	"github.com/dcbstore/dcb/internal/head"
)

// Index is the way in which a schema finds the events that a query selects.
type Index string

// The strategies.
const (
	Tags     Index = "tags"     // a B-tree over (tag, position); the default
	TSVector Index = "tsvector" // a GIN index over a tsvector of type and tags
)

// Options for Open. The zero value has the defaults.
type Options struct {
	// Schema is the name of the schema, made if it is not there. Any name but one that contains $$. Default "dcb".
	Schema string
	// Index is the strategy. Default: what the schema has; Tags for a new one.
	Index Index
	// PollInterval is how often Wait looks for itself, should a notification have been lost or be impossible, as behind a
	// pooler in transaction mode. Default 250 ms.
	PollInterval time.Duration
	// CommitTimeout bounds one round trip of an append that travels with others, whose own contexts cannot end it. Default 30 s.
	CommitTimeout time.Duration
}

func (o *Options) withDefaults() (Options, error) {
	var options Options
	if o != nil {
		options = *o
	}
	if options.Schema == "" {
		options.Schema = "dcb"
	}
	if options.PollInterval == 0 {
		options.PollInterval = 250 * time.Millisecond
	}
	if options.CommitTimeout == 0 {
		options.CommitTimeout = 30 * time.Second
	}
	switch {
	case strings.Contains(options.Schema, "$$"):
		return options, fmt.Errorf("option Schema: %q contains $$, which ends a function's body", options.Schema)
	case len(options.Schema) > 63 || strings.ContainsRune(options.Schema, 0):
		return options, fmt.Errorf("option Schema: %q is no name; PostgreSQL allows 1 to 63 bytes without NUL", options.Schema)
	case options.Index != "" && options.Index != Tags && options.Index != TSVector:
		return options, fmt.Errorf("option Index: %q is unknown; it is %q or %q", options.Index, Tags, TSVector)
	case options.PollInterval < 0:
		return options, fmt.Errorf("option PollInterval: %v is negative", options.PollInterval)
	case options.CommitTimeout < 0:
		return options, fmt.Errorf("option CommitTimeout: %v is negative", options.CommitTimeout)
	}
	return options, nil
}

// Store is a dcb.Store in one schema of a PostgreSQL database. Any number of goroutines may use it.
type Store struct {
	options      Options
	readSQL      string
	appendSQL    string
	appendOneSQL string
	headSQL      string

	config  *pgxpool.Config
	reads   *pgxpool.Pool
	appends *pgxpool.Pool // connections of their own, so that long reads never hold up an append
	group   *group.Committer[*request]
	modes   modes

	watch     head.Watch   // the highest head that this store heard of; not always the newest
	polled    atomic.Int64 // when somebody who waits last asked for the head, in Unix nanoseconds
	channel   string       // what a new head is notified on
	listening sync.Once
	listened  chan struct{} // closed when the listener has ended

	closing sync.Once
	closed  chan struct{}
}

var _ dcb.Store = (*Store)(nil)

// Open connects to the database at url (as pgx takes it: a postgres:// URL or libpq's keywords and values), makes the schema if it is not
// there, and returns the store in it. Options may be nil. The context bounds opening only.
func Open(ctx context.Context, url string, opts *Options) (*Store, error) {
	s, err := open(ctx, url, opts)
	if err != nil {
		return nil, fmt.Errorf("pgstore: open: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, url string, opts *Options) (*Store, error) {
	options, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	opening := config.ConnConfig.Copy()
	opening.DefaultQueryExecMode = pgx.QueryExecModeExec // good behind any pooler
	conn, err := pgx.ConnectConfig(ctx, opening)
	if err != nil {
		return nil, translate(ctx, err, onlyRead)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := checkServer(ctx, conn); err != nil {
		return nil, translate(ctx, err, onlyRead)
	}
	if options.Index, err = migrate(ctx, conn, options.Schema, options.Index); err != nil {
		return nil, translate(ctx, err, onlyRead)
	}
	return start(ctx, config, options)
}

// start opens no connection yet.
func start(ctx context.Context, config *pgxpool.Config, options Options) (*Store, error) {
	d := newDDL(options.Schema, options.Index)
	s := &Store{
		options:      options,
		config:       config,
		channel:      d.Channel(),
		listened:     make(chan struct{}),
		closed:       make(chan struct{}),
		readSQL:      "SELECT position, recorded_at, type, tags, data, metadata, id FROM " + d.Schema + ".read($1, $2, $3, $4, $5, $6, $7)",
		appendSQL:    "SELECT outcomes, positions FROM " + d.Schema + ".append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
		appendOneSQL: "SELECT outcome, at FROM " + d.Schema + ".append_one($1, $2, $3, $4, $5, $6, $7, $8)",
		headSQL:      "SELECT coalesce(max(position), 0) FROM " + d.Schema + ".events",
	}
	s.modes.abandon = options.CommitTimeout
	s.modes.pooled.Store(config.ConnConfig.StatementCacheCapacity == 0)
	config.ConnConfig.OnNotification = s.notified
	s.group = group.New(s.commit, fits)
	var err error
	if s.reads, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), config.Copy()); err != nil {
		return nil, err
	}
	config = config.Copy()
	config.MaxConns, config.MinConns = 1, 0
	if s.appends, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), config); err != nil {
		s.reads.Close()
		return nil, err
	}
	return s, nil
}

// descriptions is more statements than a store has, so that the description of each is asked for once.
const descriptions = 16

// parse reads url, whose password pgx keeps out of its errors.
func parse(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "dcb"
	}
	// Texts are sent as they are, in UTF-8, whatever the role or the database have for a default.
	config.ConnConfig.RuntimeParams["client_encoding"] = "UTF8"
	if config.ConnConfig.DescriptionCacheCapacity == 0 {
		config.ConnConfig.DescriptionCacheCapacity = descriptions
	}
	return config, nil
}

// checkServer refuses what the store cannot be right on.
func checkServer(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var encoding string
	err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')").Scan(&version, &encoding)
	switch {
	case err != nil:
		return err
	case version < 130000:
		return refuse("the server is PostgreSQL %d; dcb needs 13 or later", version/10000)
	case encoding != "UTF8":
		return refuse("the database's encoding is %s; dcb needs UTF8", encoding)
	}
	return nil
}

// Close waits for the appends and the reads under way and closes the connections. It ends waiting
// calls with dcb.ErrClosed; every later call fails with it. A second Close returns nil.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.closed)
		s.watch.Close()
		s.group.Close()
		s.listening.Do(func() { close(s.listened) })
		<-s.listened
		s.appends.Close()
		s.reads.Close()
	})
	return nil
}

// Index returns the strategy that the schema was made with.
func (s *Store) Index() Index { return s.options.Index }

// usable returns nil if a call may begin.
func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.closed:
		return dcb.ErrClosed
	default:
		return ctx.Err()
	}
}
