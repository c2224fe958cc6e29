package pgstore

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/pgtest"
)

// shapes are all kinds of query that the contract allows, each selecting few events of largeTable.
var shapes = map[string]dcb.Query{
	"one tag":                                  {{Tags: []string{"course:7"}}},
	"one tag, one type":                        {{Types: []string{"Joined"}, Tags: []string{"course:7"}}},
	"one tag, several types":                   {{Types: []string{"Joined", "Left"}, Tags: []string{"course:7"}}},
	"two tags":                                 {{Tags: []string{"tenant:1", "course:7"}}},
	"three tags, several types":                {{Types: []string{"Joined", "Left"}, Tags: []string{"tenant:1", "course:7", "everywhere"}}},
	"one rare type":                            {{Types: []string{"Closed"}}},
	"several rare types":                       {{Types: []string{"Closed", "Opened"}}},
	"a type that is not there":                 {{Types: []string{"Never"}}},
	"a tag that is not there":                  {{Tags: []string{"never"}}},
	"a frequent tag and one that is not there": {{Tags: []string{"everywhere", "never"}}},
	"a frequent tag, a rare type":              {{Types: []string{"Closed"}, Tags: []string{"everywhere"}}},
	"frequent tags, rare types":                {{Types: []string{"Closed", "Opened"}, Tags: []string{"everywhere", "tenant:1"}}},
	"several items": {
		{Types: []string{"Joined"}, Tags: []string{"course:7"}},
		{Types: []string{"Left"}, Tags: []string{"course:8", "everywhere"}},
		{Types: []string{"Closed"}},
	},
	"everything": dcb.All(),
}

const largeEvents = 200_000

// largeTable fills the store as its own function append would have done it. The first half is analyzed, so that statistics know
// nothing of the types and tags that came later.
const largeTable = `
	INSERT INTO %[1]s.events (position, recorded_at, type, tags, data)
	SELECT n, now(), CASE WHEN n > %[2]d - 5 THEN 'Closed' WHEN n > %[2]d - 10 THEN 'Opened' WHEN n %% 2 = 0 THEN 'Joined' ELSE 'Left' END,
		ARRAY['tenant:' || n %% 2, 'course:' || n / 10, 'everywhere'], 'data'
	FROM generate_series(%[3]d, %[4]d) n;
	INSERT INTO %[1]s.event_tags (tag, position, type)
	SELECT tag, position, type FROM %[1]s.events, unnest(tags) tag WHERE position >= %[3]d;`

func TestPlansAreIndexOnlyForEveryShapeOfQuery(t *testing.T) {
	t.Parallel()
	dsn, schema := pgtest.DSN(t), pgtest.Schema(t)
	store, err := Open(t.Context(), dsn, &Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	explain(t, dsn, schema, "a new table", math.MaxInt)

	pgtest.Exec(t, dsn, fmt.Sprintf(largeTable, schema, largeEvents, 1, largeEvents/2))
	explain(t, dsn, schema, "a large table without statistics", math.MaxInt)

	pgtest.Exec(t, dsn, fmt.Sprintf("ANALYZE %[1]s.events; ANALYZE %[1]s.event_tags", schema),
		fmt.Sprintf(largeTable, schema, largeEvents, largeEvents/2+1, largeEvents))
	explain(t, dsn, schema, "a large table with old statistics", 300)

	pgtest.Exec(t, dsn, "VACUUM ANALYZE "+schema+".events", "VACUUM ANALYZE "+schema+".event_tags")
	explain(t, dsn, schema, "a large table with new statistics", 300)
}

// TSVector must not be worse than its design. Its index is no B-tree, so a frequent type or tag costs what it costs; but it is the index that
// is used, and not the events one after the other.
func TestTSVectorUsesItsIndexForEveryShapeOfQuery(t *testing.T) {
	t.Parallel()
	dsn, schema := pgtest.DSN(t), pgtest.Schema(t)
	store, err := Open(t.Context(), dsn, &Options{Schema: schema, Index: TSVector})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	pgtest.Exec(t, dsn, fmt.Sprintf(`
		INSERT INTO %[1]s.events (position, recorded_at, type, tags, data, terms)
		SELECT n, now(), 'Joined', ARRAY['course:' || n / 10], 'data', %[1]s.terms('Joined', ARRAY['course:' || n / 10])
		FROM generate_series(1, 20000) n`, schema))
	for _, statistics := range []string{"SELECT", "VACUUM ANALYZE " + schema + ".events"} {
		pgtest.Exec(t, dsn, statistics)
		e := newExplainer(t, dsn)
		for shape, q := range shapes {
			if shape == "everything" {
				continue
			}
			items := encode(q)
			e.run(t, "SELECT FROM "+schema+".read($1, $2, $3, $4, $5, $6, $7)",
				items.simple, items.tags, items.types, 0, int64(math.MaxInt64), 10, false)
			plan := strings.Join(e.plans, "\n")
			if !strings.Contains(plan, "Bitmap Index Scan on events_terms") || strings.Contains(plan, "Seq Scan") {
				t.Errorf("%s does not use the index:\n%s", shape, plan)
			}
			if scans := regexp.MustCompile(`events_pkey on events e.*loops=[1-9]\d*\)\s*Index Cond: \(\("position" >`).FindString(plan); scans != "" {
				t.Errorf("%s walks through the positions: %s", shape, scans)
			}
		}
	}
}

// explain has every shape of query read and used as a condition, and looks at the plans of all statements within the database
// functions: how they find events, and how many blocks they touch on the way, which says what the plan's text cannot.
func explain(t *testing.T, dsn, schema, table string, maxBlocks int) {
	e := newExplainer(t, dsn)
	for shape, q := range shapes {
		items := encode(q)
		after, limit := int64(0), any(nil)
		if shape == "everything" {
			after, limit = largeEvents-20, 10
		}
		for _, backwards := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%s/read, backwards %v", table, shape, backwards), func(t *testing.T) {
				e.check(t, maxBlocks, "SELECT FROM "+schema+".read($1, $2, $3, $4, $5, $6, $7)",
					items.simple, items.tags, items.types, after, int64(math.MaxInt64), limit, backwards)
			})
		}
		t.Run(fmt.Sprintf("%s/%s/append", table, shape), func(t *testing.T) {
			r, err := newRequest([]dcb.Event{{Type: "Joined", Tags: []string{"fresh"}}}, &dcb.AppendCondition{FailIfEventsMatch: q})
			if err != nil {
				t.Fatal(err)
			}
			e.check(t, maxBlocks, "SELECT FROM "+schema+".append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
				arguments([]*request{r})...)
		})
	}
}

// explainer is a session whose statements are rolled back, and tell the plans they were carried out with.
type explainer struct {
	conn  *pgx.Conn
	plans []string
}

func newExplainer(t *testing.T, dsn string) *explainer {
	e := &explainer{}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { e.plans = append(e.plans, n.Message) }
	if e.conn, err = pgx.ConnectConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.conn.Close(context.Background()) })
	for _, setting := range []string{
		"LOAD 'auto_explain'", "SET auto_explain.log_min_duration = 0", "SET auto_explain.log_nested_statements = on",
		"SET auto_explain.log_analyze = on", "SET auto_explain.log_buffers = on", "SET client_min_messages = log",
	} {
		if _, err := e.conn.Exec(t.Context(), setting); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

var (
	scans   = regexp.MustCompile(`(?m)(Seq Scan|Bitmap|Index (?:Only )?Scan(?: Backward)? using \w+) on (\w+(?: \w+)?)`)
	buffers = regexp.MustCompile(`Buffers: shared hit=(\d+)(?: read=(\d+))?`)
	allowed = map[string]bool{ // what may touch a table at all
		"Index Only Scan using event_tags_tag": true,
		"Index Only Scan using events_type":    true,
		"Index Only Scan using events_pkey":    true,
		"Index Scan using events_pkey":         true, // fetches the events that were found, and the last one
	}
)

// run has sql carried out and rolled back, and leaves the plans of its statements.
func (e *explainer) run(t *testing.T, sql string, args ...any) {
	t.Helper()
	tx, err := e.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	for range 2 { // the first time the session also reads the catalog, to plan
		e.plans = nil
		if _, err := tx.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
}

func (e *explainer) check(t *testing.T, maxBlocks int, sql string, args ...any) {
	t.Helper()
	e.run(t, sql, args...)
	for tries := 0; tries < 50 && e.blocks() > maxBlocks; tries++ { // others may have changed so much in the catalog that it was read again
		e.run(t, sql, args...)
	}
	found := 0
	for _, plan := range e.plans {
		if strings.Contains(plan, "Hash Join") || strings.Contains(plan, "Merge Join") {
			t.Errorf("a join that reads everything:\n%s", plan)
		}
		touches := scans.FindAllStringSubmatch(plan, -1)
		found += len(touches)
		for _, scan := range touches {
			way := strings.Replace(scan[1], " Backward", "", 1)
			fetches := way == "Index Scan using events_pkey" && scan[2] == "events e"
			if !allowed[way] || way == "Index Scan using events_pkey" && !fetches {
				t.Errorf("%s on %s:\n%s", scan[1], scan[2], plan)
			}
		}
	}
	if blocks := e.blocks(); blocks > maxBlocks {
		t.Errorf("%d blocks were touched, more than %d:\n%s", blocks, maxBlocks, strings.Join(e.plans, "\n"))
	}
	if found == 0 {
		t.Errorf("no plan was told: %q", e.plans)
	}
}

// blocks returns how many the statement touched that touched the most. A call of another function counts what that one's statements, which come by themselves,
// count as well, so those alone count that look at a table.
func (e *explainer) blocks() (most int) {
	for _, plan := range e.plans {
		if scans.MatchString(plan) {
			most = max(most, blocks(plan))
		}
	}
	return most
}

// blocks returns how many the whole of a plan touched: its first line of buffers says it.
func blocks(plan string) int {
	match := buffers.FindStringSubmatch(plan)
	if match == nil {
		return 0
	}
	hit, _ := strconv.Atoi(match[1])
	read, _ := strconv.Atoi(match[2]) // "" is 0
	return hit + read
}
