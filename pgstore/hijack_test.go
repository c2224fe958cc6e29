package pgstore_test

import (
	"fmt"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/pgtest"
	"github.com/dcbstore/dcb/pgstore"
)

// A role that may create things in a schema on somebody's search path can offer functions and operators that fit better than
// those of PostgreSQL, which are for any array. They must not run with the rights of whoever uses the store.
func TestFunctionsAndOperatorsOfOthersAreNotCalled(t *testing.T) {
	t.Parallel()
	eachStrategy(t, func(t *testing.T, index pgstore.Index) {
		dsn := pgtest.DSN(t)
		path := pgtest.Schema(t)
		role, roleDSN := pgtest.Role(t, dsn)
		pgtest.Exec(t, dsn, "CREATE SCHEMA "+path, fmt.Sprintf("ALTER ROLE %s SUPERUSER", role), fmt.Sprintf("ALTER ROLE %s SET search_path = %s", role, path))
		trap := "CREATE FUNCTION " + path + ".%s(%s) RETURNS %s LANGUAGE plpgsql AS $$ BEGIN RAISE 'a trap'; END $$"
		pgtest.Exec(t, dsn, fmt.Sprintf(trap, "trap", "text[], text[]", "bool"))
		for _, array := range []string{"int[]", "bigint[]", "text[]", "uuid[]"} {
			pgtest.Exec(t, dsn, fmt.Sprintf(trap, "cardinality", array, "int"), fmt.Sprintf(trap, "unnest", array, "SETOF text"))
		}
		for _, operator := range []string{"=", "<>", "@>", "<@"} {
			pgtest.Exec(t, dsn, fmt.Sprintf("CREATE OPERATOR %[1]s.%[2]s (LEFTARG = text[], RIGHTARG = text[], FUNCTION = %[1]s.trap)", path, operator))
		}

		h := openAt(t, roleDSN, pgstore.Options{Schema: pgtest.Schema(t), Index: index})
		q := dcb.Query{{Tags: []string{"a"}}, {Types: []string{"B"}, Tags: []string{"a", "b"}}}
		for _, events := range [][]dcb.Event{{{Type: "A", Tags: []string{"a"}}}, {{Type: "B"}, {Type: "B"}}} {
			if _, err := h.Append(t.Context(), events, &dcb.AppendCondition{FailIfEventsMatch: q[:len(events)], After: 1}); err != nil {
				t.Error(err)
			}
		}
		for _, q := range []dcb.Query{q, q[:1], {{Types: []string{"B"}}}} {
			if _, err := h.Read(t.Context(), q, dcb.ReadOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
}
