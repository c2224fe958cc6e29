package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/internal/pgtest"
	"github.com/dcbstore/dcb/pgstore"
)

func TestBehindPgBouncerInTransactionMode(t *testing.T) {
	t.Parallel()
	eachStrategy(t, func(t *testing.T, index pgstore.Index) {
		bouncer := pgtest.PgBouncer(t, pgtest.DSN(t))
		pooled := func(t testing.TB, options pgstore.Options) *handle {
			options.PollInterval = 20 * time.Millisecond // nobody is notified behind a pooler
			return openAt(t, bouncer, options)
		}
		dcbtest.Suite{
			Open: func(t testing.TB) dcb.Store {
				return pooled(t, pgstore.Options{Schema: pgtest.Schema(t), Index: index})
			},
			Second:  func(t testing.TB, s dcb.Store) dcb.Store { return pooled(t, s.(*handle).options) },
			Timeout: slow,
		}.Run(t)
	})
}

// disturb makes a history of three stores on one server, with disturbance under way as long as it lasts, and checks it.
func disturb(t *testing.T, index pgstore.Index, server *pgtest.Server, disturbance func(ctx context.Context, h *handle) error) {
	t.Helper()
	first := openAt(t, server.DSN(), pgstore.Options{Index: index})
	handles := []dcb.Store{first, first.again(t), first.again(t)}
	for recorded := 0; recorded == 0; { // on a very busy machine nothing may have been when the time is up
		ctx, done := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- disturbance(ctx, first.again(t)) }()
		h, err := history.Workload{Handles: handles, Callers: 12, Duration: 8 * time.Second, MayFail: true, HangTimeout: slow}.Run(ctx)
		done()
		if err := errors.Join(err, <-ended); err != nil {
			t.Fatal(err)
		}
		if err := h.Verify(t.Context(), openAt(t, server.DSN(), pgstore.Options{})); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d calls, %d events", len(h.Operations), len(h.Final))
		recorded = len(h.Final)
	}
}

// progress returns when some more events have been recorded, whoever is disturbed meanwhile, or ctx has ended.
func progress(ctx context.Context, h *handle) {
	var head dcb.Position
	for more := dcb.Position(0); ctx.Err() == nil; {
		now, err := h.Wait(ctx, head+more)
		if err == nil && more > 0 {
			return
		}
		if err == nil {
			head, more = now, 100
		}
	}
}

func TestNothingIsLostWhenTheServerIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	eachStrategy(t, func(t *testing.T, index pgstore.Index) {
		server := pgtest.NewServer(t, pgtest.Options{})
		disturb(t, index, server, func(ctx context.Context, h *handle) error {
			for kills := 0; ; kills++ {
				if progress(ctx, h); ctx.Err() != nil {
					t.Logf("the server was killed %d times", kills)
					return nil
				}
				stop := server.Kill
				if kills%2 == 1 {
					stop = func() error { return server.Stop(pgtest.Immediate) }
				}
				if err := errors.Join(stop(), server.Restart()); err != nil {
					return err
				}
			}
		})
	})
}

func TestNothingIsLostWhenConnectionsBreakUnderLoad(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, pgtest.Options{})
	disturb(t, pgstore.Tags, server, func(ctx context.Context, h *handle) error {
		operator := connect(t, server.DSN()+"&application_name=operator")
		for {
			if progress(ctx, h); ctx.Err() != nil {
				return nil
			}
			_, err := operator.Exec(context.WithoutCancel(ctx), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dcb'")
			if err != nil {
				return err
			}
		}
	})
}

func TestAStoppedServerIsUnavailableAndComesBack(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, pgtest.Options{})
	h := openAt(t, server.DSN(), pgstore.Options{PollInterval: 10 * time.Millisecond})
	event := []dcb.Event{{Type: "Happened", ID: uuid.New()}}
	if _, err := h.Append(t.Context(), event, nil); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		_, err := h.Wait(t.Context(), 1)
		waiting <- err
	}()
	if err := server.Stop(pgtest.Graceful); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; !dcb.Retryable(err) {
		t.Errorf("Wait: %v; want dcb.ErrUnavailable", err)
	}
	for name, call := range calls(h, event) {
		if err := call(t.Context()); !dcb.Retryable(err) {
			t.Errorf("%s: %v; want dcb.ErrUnavailable", name, err)
		}
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls(h, event) {
		if err := call(t.Context()); err != nil {
			t.Errorf("%s after the server came back: %v", name, err)
		}
	}
	if head, err := h.Head(t.Context()); head != 1 || err != nil {
		t.Errorf("the head is %d, %v; want 1, since the append had an ID", head, err)
	}
}

func TestWhatMayPassIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]struct{ begin, end string }{
		"a standby":          {"ALTER ROLE %[2]s SET default_transaction_read_only = on", "ALTER ROLE %[2]s RESET default_transaction_read_only"},
		"a dropped schema":   {"ALTER SCHEMA %[1]s RENAME TO %[1]s_away", "ALTER SCHEMA %[1]s_away RENAME TO %[1]s"},
		"a dropped function": {"ALTER FUNCTION %[1]s.append_one RENAME TO away", "ALTER FUNCTION %[1]s.away RENAME TO append_one"},
		"a statement timeout": {
			"ALTER ROLE %[2]s SET statement_timeout = '500ms'; ALTER TABLE %[1]s.events ADD CONSTRAINT slow CHECK (pg_sleep(60) IS NOT NULL)",
			"ALTER ROLE %[2]s RESET statement_timeout; ALTER TABLE %[1]s.events DROP CONSTRAINT slow",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			owner := open(t, pgstore.Tags)
			role, roleDSN := pgtest.Role(t, owner.dsn)
			pgtest.Exec(t, owner.dsn, "ALTER ROLE "+role+" SUPERUSER")
			h := openAt(t, roleDSN, owner.options) // which connects to append when it is asked to
			pgtest.Exec(t, owner.dsn, fmt.Sprintf(trouble.begin, owner.options.Schema, role))
			switch name {
			case "a dropped schema": // nothing is left to open
			case "a statement timeout": // opening may take longer
			default:
				h = openAt(t, roleDSN, owner.options)
			}
			event := []dcb.Event{{Type: "Happened"}}
			_, err := h.Append(t.Context(), event, nil)
			var unavailable *dcb.UnavailableError
			if !errors.As(err, &unavailable) || unavailable.OutcomeUnknown {
				t.Errorf("append: %v; want dcb.ErrUnavailable, and surely not recorded", err)
			}
			pgtest.Exec(t, owner.dsn, fmt.Sprintf(trouble.end, owner.options.Schema, role))
			if _, err := owner.Append(t.Context(), event, nil); err != nil {
				t.Errorf("append when it has passed: %v", err)
			}
			if head, err := owner.Head(t.Context()); head != 1 || err != nil {
				t.Errorf("the head is %d, %v; want 1", head, err)
			}
		})
	}
}

func TestAServerWithoutConnectionsLeftIsUnavailable(t *testing.T) {
	t.Parallel()
	const connections = 8
	server := pgtest.NewServer(t, pgtest.Options{
		Settings: map[string]string{"max_connections": strconv.Itoa(connections), "superuser_reserved_connections": "0"},
	})
	h := openAt(t, server.DSN(), pgstore.Options{})
	var taken []*pgx.Conn
	for len(taken) < connections { // the server takes a moment to notice who has gone, and has none left for a newcomer until then
		if conn, err := pgx.Connect(t.Context(), server.DSN()); err == nil {
			taken = append(taken, conn)
		}
	}
	event := []dcb.Event{{Type: "Happened"}}
	var unavailable *dcb.UnavailableError
	if _, err := h.Append(t.Context(), event, nil); !errors.As(err, &unavailable) || unavailable.OutcomeUnknown {
		t.Errorf("append: %v; want dcb.ErrUnavailable, and surely not recorded", err)
	}
	for _, conn := range taken {
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for err := error(unavailable); err != nil; { // the server takes a moment to notice
		if _, err = h.Append(t.Context(), event, nil); err != nil && !dcb.Retryable(err) {
			t.Fatal(err)
		}
	}
}

func TestAnAppendWithoutAnAnswerSaysThatItsOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	h := open(t, pgstore.Tags)
	blocker := connect(t, h.dsn)
	// Whoever holds the table holds up every append, after it was sent.
	tx, err := blocker.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE "+h.options.Schema+".event_tags IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	event := []dcb.Event{{Type: "Happened", Tags: []string{"held"}, ID: uuid.New()}}
	go func() {
		_, err := h.Append(t.Context(), event, nil)
		ended <- err
	}()
	operator := connect(t, h.dsn)
	for killed := 0; killed == 0; {
		err := operator.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a JOIN pg_locks l USING (pid)
			WHERE NOT l.granted AND l.relation = $1::regclass`, h.options.Schema+".event_tags").Scan(&killed)
		if err != nil {
			t.Fatal(err)
		}
	}
	var unavailable *dcb.UnavailableError
	if err := <-ended; !errors.As(err, &unavailable) || !unavailable.OutcomeUnknown {
		t.Errorf("append: %v; want dcb.ErrUnavailable with an unknown outcome", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if position, err := h.Append(t.Context(), event, nil); position != 1 || err != nil {
		t.Errorf("sent again: position %d, %v; want 1", position, err)
	}
}

func TestACallerWhoGivesUpDoesNotDisturbThoseWhoTravelWithIt(t *testing.T) {
	t.Parallel()
	h := open(t, pgstore.Tags)
	tx, err := connect(t, h.dsn).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE "+h.options.Schema+".events IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	impatient, patient := make(chan error), make(chan error)
	for range 8 {
		go func() {
			_, err := h.Append(ctx, []dcb.Event{{Type: "GivenUp"}}, nil)
			impatient <- err
		}()
		go func() {
			_, err := h.Append(t.Context(), []dcb.Event{{Type: "Happened"}}, nil)
			patient <- err
		}()
	}
	giveUp()
	for range 8 {
		if err := <-impatient; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller who gave up: %v", err)
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		if err := <-patient; err != nil {
			t.Errorf("a caller who did not: %v", err)
		}
	}
	result, err := h.Read(t.Context(), dcb.Query{{Types: []string{"Happened"}}}, dcb.ReadOptions{})
	if err != nil || len(result.Events) != 8 {
		t.Errorf("%d events of patient callers, %v; want 8", len(result.Events), err)
	}
}

func calls(h *handle, event []dcb.Event) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Append": func(ctx context.Context) error { _, err := h.Append(ctx, event, nil); return err },
		"Read":   func(ctx context.Context) error { _, err := h.Read(ctx, dcb.All(), dcb.ReadOptions{}); return err },
		"Head":   func(ctx context.Context) error { _, err := h.Head(ctx); return err },
		"Wait":   func(ctx context.Context) error { _, err := h.Wait(ctx, 0); return err },
	}
}
