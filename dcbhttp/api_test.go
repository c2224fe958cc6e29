package dcbhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/eventjson"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

// broken is a store whose calls fail.
type broken struct {
	dcb.Store
	err error
}

func (b broken) Read(context.Context, dcb.Query, dcb.ReadOptions) (dcb.ReadResult, error) {
	return dcb.ReadResult{}, b.err
}

func (b broken) Append(context.Context, []dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
	return 0, b.err
}
func (b broken) Head(context.Context) (dcb.Position, error)               { return 0, b.err }
func (b broken) Wait(context.Context, dcb.Position) (dcb.Position, error) { return 0, b.err }

// filled returns a store with n events of type A, tagged n:1 and so on.
func filled(t testing.TB, n int) *memstore.Store {
	t.Helper()
	store := memstore.New(nil)
	for i := range n {
		if _, err := store.Append(t.Context(), []dcb.Event{{Type: "A", Tags: []string{fmt.Sprintf("n:%d", i+1)}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

func wantStatus(t *testing.T, response *answer, want int, text string) {
	t.Helper()
	if response.StatusCode != want {
		t.Errorf("status %d, want %d: %s", response.StatusCode, want, text)
	}
}

// It compares whole responses, byte by byte.
func TestServeHTTPResponses(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), nil, false)
	steady := regexp.MustCompile(`"(recordedAt|durationInMicroseconds)":("[^"]*"|\d+)`)
	for _, step := range []struct{ method, target, body, want, head string }{
		{"GET", "/read", "", "[]\n", "0"},
		{"GET", "/head", "", `{"head":0}` + "\n", ""},
		{
			"POST", "/append", `{"events":[{"type":"A<b>","tags":["x","y","x"],"data":"{\n}","id":"00000000-0000-0000-0000-000000000001",` +
				`"metadata":{"b":"2","a":"1"}},{"type":"B","dataBase64":"/w=="}]}`,
			`{"durationInMicroseconds":0,"appendConditionFailed":false,"position":2}` + "\n", "",
		},
		{
			"GET", "/read?query={}&options={}", "",
			`[{"position":1,"recordedAt":0,"type":"A<b>","tags":["x","y"],"data":"{\n}","id":"00000000-0000-0000-0000-000000000001",` +
				`"metadata":{"a":"1","b":"2"}},` + "\n" + `{"position":2,"recordedAt":0,"type":"B","tags":[],"dataBase64":"/w=="}]` + "\n", "2",
		},
		{
			"POST", "/append", `{"events":[{"type":"C"}],"condition":{"failIfEventsMatch":{"items":[{"types":["B"]}]},"after":1}}`,
			`{"durationInMicroseconds":0,"appendConditionFailed":true,"conflictingPosition":2}` + "\n", "",
		},
		{
			"POST", "/append", `{"events":[{"type":"C","data":null}],"condition":{"failIfEventsMatch":{"items":[]},"after":2}}`,
			`{"durationInMicroseconds":0,"appendConditionFailed":false,"position":3}` + "\n", "",
		},
		{
			"POST", "/read", `{"query":{"items":[{"tags":["x"]},{"types":["C"]}]},"options":{"backwards":true,"limit":1}}`,
			`[{"position":3,"recordedAt":0,"type":"C","tags":[],"data":""}]` + "\n", "3",
		},
		{"GET", "/wait?after=2", "", `{"head":3}` + "\n", ""},
		{"GET", "/wait?after=3&timeout=0", "", `{"head":3}` + "\n", ""},
		{"GET", "/healthz", "", `{"status":"ok"}` + "\n", ""},
		{"GET", "/readyz", "", `{"status":"ready"}` + "\n", ""},
		{
			"GET", "/wait?after=x", "",
			`{"type":"urn:dcb:problem:invalid","title":"Bad Request","status":400,"detail":"dcb: invalid argument: /after is not a whole number from 0 to ` +
				`18446744073709551615","code":"invalid","field":"/after"}` + "\n", "",
		},
	} {
		response, text := server.send(t, step.method, strings.ReplaceAll(strings.ReplaceAll(step.target, "{", "%7B"), "}", "%7D"), step.body)
		if diff := cmp.Diff(step.want, steady.ReplaceAllString(text, `"$1":0`)); diff != "" {
			t.Errorf("%s %s %s (-want +got):\n%s", step.method, step.target, step.body, diff)
		}
		if got := response.Header.Get(headHeader); got != step.head {
			t.Errorf("%s %s: head %q, want %q", step.method, step.target, got, step.head)
		}
		if got := response.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s %s: Cache-Control %q", step.method, step.target, got)
		}
	}
}

func TestReadOptionsBoundTheRead(t *testing.T) {
	t.Parallel()
	server := serve(t, filled(t, 5), nil, false)
	for options, want := range map[string]string{
		`{}`:                                    "12345 5",
		`{"from":0}`:                            "12345 5",
		`{"from":1}`:                            "12345 5",
		`{"from":3}`:                            "345 5",
		`{"from":3,"to":4}`:                     "34 4",
		`{"to":0}`:                              " 0",
		`{"from":6}`:                            " 5",
		`{"from":18446744073709551615}`:         " 5",
		`{"to":18446744073709551615}`:           "12345 5",
		`{"limit":2}`:                           "12 2",
		`{"limit":5}`:                           "12345 5",
		`{"limit":18446744073709551615}`:        "12345 5",
		`{"from":4,"limit":2}`:                  "45 5",
		`{"backwards":true}`:                    "54321 5",
		`{"backwards":true,"limit":2}`:          "54 5",
		`{"backwards":true,"from":3}`:           "321 3",
		`{"backwards":true,"from":3,"to":2}`:    "32 3",
		`{"backwards":true,"from":0}`:           " 0",
		`{"backwards":true,"to":0}`:             "54321 5",
		`{"backwards":false,"from":null}`:       "12345 5",
		`{"backwards":true,"from":99}`:          "54321 5",
		` { "from" : 2 , "limit" : 1 } ` + "\n": "2 2",
	} {
		response, text := server.send(t, "GET", "/read?options="+url.QueryEscape(options), "")
		var events []eventjson.SequencedEvent
		if err := json.Unmarshal([]byte(text), &events); err != nil {
			t.Errorf("%s: %v: %s", options, err, text)
		}
		got := ""
		for _, e := range events {
			got += formatPosition(e.Position)
		}
		if got += " " + response.Header.Get(headHeader); got != want {
			t.Errorf("%s: %s, want %s", options, got, want)
		}
	}
}

func TestServeHTTPNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), nil, false)
	event := func(text string) string { return `{"events":[{"type":"A"},` + text + `]}` }
	for _, c := range []struct{ body, want string }{
		{"", "body is not JSON: it ends too early"},
		{"[]", "body is an array; it must be an object"},
		{"{} x", "body is not JSON"},
		{"null", "body is null; it must be an object"},
		{"{}", "events is empty"},
		{`{"events":null}`, "events is empty"},
		{`{"events":[]}`, "events is empty"},
		{`{"events":{}}`, "/events is an object; it must be an array"},
		{`{"event":[]}`, `/event is unknown; known members are events, condition`},
		{event(`null`), "/events/1 is null; it must be an object"},
		{event(`{}`), "/events/1/type is empty"},
		{event(`{"type":17}`), "/events/1/type is a number; it must be a string"},
		{event(`{"type":"\u0000"}`), "/events/1/type contains a NUL"},
		{event(`{"type":"A","tags":["x",null]}`), "/events/1/tags/1 is empty"},
		{event(`{"type":"A","data":"a","dataBase64":"YQ=="}`), "/events/1/dataBase64 is given together with data"},
		{event(`{"type":"A","position":1}`), "/events/1/position is unknown"},
		{event(`{"type":"A","metadata":{"a/b":"\u0000"}}`), "/events/1/metadata/a~1b contains a NUL"},
		{`{"condition":{}}`, "/condition/failIfEventsMatch is missing"},
		{`{"events":[{"type":"A"}],"condition":{"failIfEventsMatch":{"items":[{},{"types":[""]}]}}}`, "/condition/failIfEventsMatch/items/1/types/0 is empty"},
		{`{"condition":{"failIfEventsMatch":{},"after":-1}}`, "/condition/after is not a whole number"},
	} {
		response, text := server.send(t, "POST", "/append", c.body)
		wantProblem(t, response, text, http.StatusBadRequest, "", c.want)
	}
	for target, want := range map[string]string{
		"/read?query=":                              "/query is not JSON",
		"/read?query=%7B":                           "/query is not JSON",
		"/read?query=%7B%22items%22:%5B1%5D%7D":     "/query/items/0 is a number",
		"/read?querry=%7B%7D":                       "/querry is unknown; known parameters are query, options",
		"/read?query=%7B%7D&query=%7B%7D":           "/query occurs twice",
		"/read?query=%zz":                           "parameters are not in the encoding of a URL",
		"/read?a;b":                                 "parameters are not in the encoding of a URL",
		"/read?options=%7B%22limit%22:0%7D":         "/options/limit is 0; it must be at least 1",
		"/read?options=%7B%22limit%22:-1%7D":        "/options/limit is not a whole number",
		"/read?options=%7B%22backwards%22:1%7D":     "/options/backwards is a number; it must be true or false",
		"/head?x=1":                                 "/x is unknown; this path has no parameters",
		"/wait?after=":                              "/after is not a whole number",
		"/wait?after=%2B1":                          "/after is not a whole number",
		"/wait?timeout=301":                         "/timeout is longer than 300 seconds",
		"/subscribe?after=1&from=2":                 "/from is unknown; known parameters are query, after",
		"/subscribe?query=%7B%22items%22:%5B%5B%5D": "/query/items/0 is an array",
		"/subscribe?query=%7B%22items%22:%5B%7B%22types%22:%5B%22%22%5D%7D%5D%7D": "/query/items/0/types/0 is empty",
	} {
		response, text := server.send(t, "GET", target, "")
		wantProblem(t, response, text, http.StatusBadRequest, "", want)
	}
}

func wantProblem(t *testing.T, response *answer, text string, status int, code wire.Code, want string) {
	t.Helper()
	var p problemResponse
	if err := json.Unmarshal([]byte(text), &p); err != nil || response.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("no problem document: %v: %d %s", err, response.StatusCode, text)
	}
	if response.StatusCode != status || p.Status != status || !strings.Contains(p.Detail, want) || code != "" && p.Code != code {
		t.Errorf("%s\nwant status %d, code %q, and in the detail: %s", text, status, code, want)
	}
	if p.Type != "urn:dcb:problem:"+string(p.Code) || p.Title != http.StatusText(status) {
		t.Errorf("type or title are wrong: %s", text)
	}
}

func TestServeHTTPAnswersStoreErrorsWithProblems(t *testing.T) {
	t.Parallel()
	secret := errors.New("host=db.example user=admin")
	for _, c := range []struct {
		err    error
		status int
		code   wire.Code
		retry  string
	}{
		{dcb.ErrClosed, 503, wire.Unavailable, "1"},
		{&dcb.UnavailableError{Cause: secret}, 503, wire.Unavailable, "1"},
		{&dcb.UnavailableError{Cause: secret, OutcomeUnknown: true}, 503, wire.Unknown, ""},
		{fmt.Errorf("%w: %w", dcb.ErrCorrupt, secret), 500, wire.Corrupt, ""},
		{fmt.Errorf("%w: ID", dcb.ErrDuplicateID), 409, wire.DuplicateID, ""},
		{fmt.Errorf("%w", context.DeadlineExceeded), 503, wire.Unknown, ""}, // of an append
		{fmt.Errorf("%w", wire.ErrLimit), 503, wire.Limit, "1"},
		{secret, 500, wire.Internal, ""},
	} {
		var observed wire.Call
		server := serve(t, broken{err: c.err}, &Options{Observe: func(_ context.Context, call wire.Call) { observed = call }}, false)
		response, text := server.send(t, "POST", "/append", `{"events":[{"type":"A"}]}`)
		wantProblem(t, response, text, c.status, c.code, "")
		if strings.Contains(text, "admin") || response.Header.Get("Retry-After") != c.retry {
			t.Errorf("%v: Retry-After %q, %s", c.err, response.Header.Get("Retry-After"), text)
		}
		if observed.Method != "/append" || observed.Protocol != "http" || wire.CodeOf(observed.Err) != c.code {
			t.Errorf("%v: the observer was observed %+v", c.err, observed)
		}
		for _, target := range []string{"/read", "/head", "/wait", "/subscribe", "/readyz"} {
			if response, text := server.send(t, "GET", target, ""); response.StatusCode < 400 || strings.Contains(text, "admin") {
				t.Errorf("%v: %s: %d %s", c.err, target, response.StatusCode, text)
			}
		}
	}
}

func TestServeHTTPRefusesUnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), nil, false)
	for _, c := range []struct{ method, target, allow string }{
		{"GET", "/append", "POST"},
		{"PUT", "/read", "GET,POST"},
		{"HEAD", "/read", "GET,POST"},
		{"OPTIONS", "/head", "GET"},
		{"DELETE", "/healthz", "GET,HEAD"},
		{"GET", "/", ""},
		{"GET", "/read/", ""},
		{"GET", "//read", ""},
		{"GET", "/../read", ""},
		{"GET", "/READ", ""},
		{"GET", "/metrics", ""},
		{"POST", "/append/x", ""},
	} {
		response, text := server.send(t, c.method, c.target, "")
		want := http.StatusMethodNotAllowed
		if c.allow == "" {
			want = http.StatusNotFound
		}
		wantStatus(t, response, want, text)
		if got := strings.Join(response.Header.Values("Allow"), ","); got != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.target, got, c.allow)
		}
	}
	if response, text := server.send(t, "HEAD", "/healthz", ""); response.StatusCode != http.StatusOK || text != "" {
		t.Errorf("HEAD /healthz: %d %q", response.StatusCode, text)
	}
}

// breaking is a store whose reads fail after position 1000.
type breaking struct{ *memstore.Store }

func (b breaking) ReadPage(ctx context.Context, q dcb.Query, opts dcb.ReadOptions, bytes int) (dcb.ReadResult, error) {
	if opts.After >= 1000 {
		return dcb.ReadResult{}, dcb.ErrCorrupt
	}
	return b.Store.ReadPage(ctx, q, opts, bytes)
}

func TestReadResponseThatBreaksOffIsInvalidJSON(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var observed error
	server := serve(t, breaking{filled(t, 20_000)}, &Options{Observe: func(_ context.Context, c wire.Call) {
		mu.Lock()
		defer mu.Unlock()
		observed = c.Err
	}}, true)
	_, err := server.client().Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("Read = %v, want ErrUnavailable", err)
	}
	if !eventually(func() bool {
		mu.Lock()
		defer mu.Unlock()
		return errors.Is(observed, dcb.ErrCorrupt)
	}) {
		t.Errorf("observed %v, want ErrCorrupt", observed)
	}
}

// The head of a forward read depends on whether the limit cuts it short, which is known only at
// the end of a long response.
func TestReadSendsTheHeadOfALongResponseInTheTrailer(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	events := make([]dcb.Event, 300)
	for i := range events {
		events[i] = dcb.Event{Type: "A", Data: bytes.Repeat([]byte("x"), 10_000)}
	}
	if _, err := store.Append(t.Context(), slices.Concat(events, []dcb.Event{{Type: "B"}}), nil); err != nil {
		t.Fatal(err)
	}
	c := serve(t, store, nil, false).client()
	for limit, want := range map[int]dcb.Position{299: 299, 300: 301, 301: 301, 70: 70, 64: 64, 65: 65, 0: 301} {
		result, err := c.Read(t.Context(), dcb.Query{{Types: []string{"A"}}}, dcb.ReadOptions{Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		events := min(limit, 300)
		if limit == 0 {
			events = 300
		}
		if result.Head != want || len(result.Events) != events {
			t.Errorf("limit %d: head %d and %d events, want %d and %d", limit, result.Head, len(result.Events), want, events)
		}
	}
}

// panicking is a store that panics.
type panicking struct{ dcb.Store }

func (panicking) Head(context.Context) (dcb.Position, error) { panic("secret of an event") }

func TestServeHTTPHidesTheTextOfAPanic(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var observed wire.Call
	server := serve(t, panicking{memstore.New(nil)}, &Options{
		Log:     slog.New(slog.NewTextHandler(&log, nil)),
		Observe: func(_ context.Context, c wire.Call) { observed = c },
	}, false)
	response, text := server.send(t, "GET", "/head", "")
	wantProblem(t, response, text, http.StatusInternalServerError, wire.Internal, "")
	if strings.Contains(log.String()+observed.Err.Error()+text, "secret") {
		t.Errorf("the text of the panic is visible: %s %v", log.String(), observed.Err)
	}
	if !strings.Contains(log.String(), "panicking") {
		t.Errorf("the log has no stack: %s", log.String())
	}
}

func TestDrainFailsReadyzFirstAndLetsCallsGoOn(t *testing.T) {
	t.Parallel()
	server := serve(t, filled(t, 1), nil, false)
	waited := make(chan string)
	go func() {
		_, text := server.send(t, "GET", "/wait?after=1&timeout=300", "")
		waited <- text
	}()
	for range 2 {
		server.Drain()
	}
	response, text := server.send(t, "GET", "/readyz", "")
	wantProblem(t, response, text, http.StatusServiceUnavailable, wire.Unavailable, "")
	if got := <-waited; got != `{"head":1}`+"\n" {
		t.Errorf("/wait = %s, want the head", got)
	}
	response, text = server.send(t, "POST", "/append", `{"events":[{"type":"A"}]}`)
	wantStatus(t, response, http.StatusOK, text)
	if response, _ = server.send(t, "GET", "/healthz", ""); response.StatusCode != http.StatusOK || !response.Close {
		t.Errorf("/healthz: status %d, keep-alive %v, want 200 and a closed connection", response.StatusCode, !response.Close)
	}
}

func TestReadyzCallsReady(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), &Options{Ready: func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("Ready was called without a deadline")
		}
		return errors.New("secret")
	}}, false)
	response, text := server.send(t, "GET", "/readyz", "")
	if response.StatusCode != http.StatusServiceUnavailable || strings.Contains(text, "secret") {
		t.Errorf("%d %s", response.StatusCode, text)
	}
}

func TestAppendWithIDsCanBeRepeated(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), nil, false)
	body := fmt.Sprintf(`{"events":[{"type":"A","id":%q}],"condition":{"failIfEventsMatch":{}}}`, uuid.NewString())
	for range 2 {
		response, text := server.send(t, "POST", "/append", body)
		if wantStatus(t, response, 200, text); !strings.Contains(text, `"position":1}`) {
			t.Error(text)
		}
	}
	response, text := server.send(t, "POST", "/append", strings.Replace(body, `"A"`, `"B"`, 1))
	wantProblem(t, response, text, http.StatusConflict, wire.DuplicateID, "")
}
