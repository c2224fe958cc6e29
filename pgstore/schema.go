package pgstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"text/template"

	"github.com/jackc/pgx/v5"
)

// schemaVersion is the version that this package makes and works with.
const schemaVersion = 1

//go:embed sql/*.tmpl
var sqlFiles embed.FS

// ddl is what the templates in sql are filled with: the names of one store.
type ddl struct {
	Index  Index
	Schema string // quoted
	name   string

	// What the parts that are used several times differ in.
	Order string // ASC or DESC
	Items string // "conditions", or the items of a read
	Alias string // the table that a part is about
}

func newDDL(schema string, index Index) ddl {
	return ddl{Index: index, Schema: pgx.Identifier{schema}.Sanitize(), name: schema}
}

// Ordered returns d for one direction of reading.
func (d ddl) Ordered(order string) ddl {
	d.Order = order
	return d
}

// Of returns d for the given items.
func (d ddl) Of(items string) ddl {
	d.Items = items
	return d
}

// As returns d for a table's alias.
func (d ddl) As(alias string) ddl {
	d.Alias = alias
	return d
}

// Lock is the key of the store's advisory lock. Such locks are the database's, so the key is made from the schema's name.
func (d ddl) Lock() int64 {
	hash := fnv.New64a()
	hash.Write([]byte("dcb:" + d.name))
	return int64(hash.Sum64())
}

// Channel is what the store notifies on. A channel's name is the database's too, and shorter than a schema's may be.
func (d ddl) Channel() string { return fmt.Sprintf("dcb_%016x", uint64(d.Lock())) }

// statements returns the SQL that makes the tables and functions of the store.
func (d ddl) statements() (string, error) {
	files, err := template.ParseFS(sqlFiles, "sql/schema.sql.tmpl", "sql/functions.sql.tmpl", "sql/"+string(d.Index)+".sql.tmpl")
	if err != nil {
		return "", err
	}
	var sql strings.Builder
	for _, name := range []string{"schema.sql.tmpl", "functions.sql.tmpl"} {
		if err := files.ExecuteTemplate(&sql, name, d); err != nil {
			return "", err
		}
	}
	return sql.String(), nil
}

// migrate makes the schema if it is not there, checks that it is of this version, and returns its strategy. It needs no right to create
// anything if the schema is there already. Several processes may do it at once.
func migrate(ctx context.Context, conn *pgx.Conn, schema string, index Index) (Index, error) {
	found, err := lookUp(ctx, conn, schema)
	if err != nil {
		return "", err
	}
	if found == "" {
		if found, err = create(ctx, conn, schema, index); err != nil {
			return "", err
		}
	}
	if index != "" && index != found {
		return "", refuse("schema %q keeps its events with index %s, not %s; name another schema, or leave the index out", schema, found, index)
	}
	return found, nil
}

// lookUp returns the strategy of the store in schema, and "" if there is none.
func lookUp(ctx context.Context, conn *pgx.Conn, schema string) (Index, error) {
	table := pgx.Identifier{schema, "store"}.Sanitize()
	var exists bool
	// Not to_regclass: it may answer from a cache that has not heard yet of what was committed while this session waited for the lock.
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'store')", schema).Scan(&exists)
	if err != nil || !exists {
		return "", err
	}
	var version int
	var index Index
	err = conn.QueryRow(ctx, "SELECT version, index FROM "+table).Scan(&version, &index)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", refuse("%s is empty; schema %q was not made by dcb, or not completely", table, schema)
	case err != nil:
		return "", err
	case version > schemaVersion:
		return "", refuse("schema %q has version %d; this program knows %d and older; use a newer dcb", schema, version, schemaVersion)
	}
	return index, nil
}

// create makes the store under a lock, so that of several who find none only one makes it.
func create(ctx context.Context, conn *pgx.Conn, schema string, index Index) (made Index, err error) {
	if index == "" {
		index = Tags
	}
	d := newDDL(schema, index)
	statements, err := d.statements()
	if err != nil {
		return "", err
	}
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", d.Lock()); err != nil {
			return err
		}
		if made, err = lookUp(ctx, tx.Conn(), schema); err != nil || made != "" {
			return err
		}
		made = index
		if err := createSchema(ctx, tx, schema); err != nil {
			return err
		}
		_, err := tx.Conn().PgConn().Exec(ctx, statements+fmt.Sprintf(
			"INSERT INTO %s.store (version, index) VALUES (%d, '%s');", d.Schema, schemaVersion, index)).ReadAll()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("create schema %q: %w", schema, err)
	}
	return made, nil
}

// createSchema leaves a schema alone that is there already: a role may have been given one without the right to make it.
func createSchema(ctx context.Context, tx pgx.Tx, schema string) error {
	var exists bool
	err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&exists)
	if err != nil || exists {
		return err
	}
	_, err = tx.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize())
	return err
}
