package pgstore_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/pgstore"
)

// What a read with a limit looks at depends on what it returns, and not on how many events there are.
func TestAReadWithALimitLooksAtFewEntriesOfHotTags(t *testing.T) {
	t.Parallel()
	h := open(t, pgstore.Tags)
	events := make([]dcb.Event, 40_000)
	for i := range events {
		events[i] = dcb.Event{Type: "Happened", Tags: []string{"hot", "too"}}
	}
	if _, err := h.Append(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, h.dsn)
	for _, items := range []string{"true, ARRAY['{hot}'], ARRAY['{Happened}']", "false, ARRAY['{hot,too}'], ARRAY['{}']"} {
		for _, backwards := range []bool{false, true} {
			read := fmt.Sprintf("SELECT * FROM %s.read(%s, 0, 1000000, 2, %t)", h.options.Schema, items, backwards)
			const most = 300
			pages := pagesOf(t, conn, read)
			for tries := 0; pages > most && tries < 50; tries++ { // the first reads the catalogs too, and so does any before which others have changed much in them
				pages = pagesOf(t, conn, read)
			}
			if pages > most {
				t.Errorf("%s looks at %d pages", read, pages)
			}
		}
	}
}

// pagesOf returns how many pages a statement looks at.
func pagesOf(t *testing.T, conn *pgx.Conn, statement string) int {
	t.Helper()
	var answer []byte
	if err := conn.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+statement).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	var explained []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	if err := json.Unmarshal(answer, &explained); err != nil {
		t.Fatal(err)
	}
	return explained[0].Plan.Hit + explained[0].Plan.Read
}
