package dcbhttp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

// chunked hides the length of a body.
type chunked struct{ *strings.Reader }

func TestAppendRefusesABodyBeyondTheLimit(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), &Options{Limits: wire.Limits{MessageBytes: 500}}, false)
	body := func(size int) string {
		text := `{"events":[{"type":"A","data":""}]}`
		return strings.Replace(text, `""`, `"`+strings.Repeat("x", size-len(text))+`"`, 1)
	}
	for size, want := range map[int]int{1000: 200, 1001: 413, 100_000: 413} {
		for _, length := range []int64{int64(size), -1} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.base+"/append", chunked{strings.NewReader(body(size))})
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = length
			response, err := server.transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			var p problemResponse
			if err := json.NewDecoder(response.Body).Decode(&p); want != 200 && (err != nil || p.Code != wire.Invalid || p.Field != "body" || p.Limit != 1000) {
				t.Errorf("%d bytes: %v %+v", size, err, p)
			}
			wantStatus(t, &answer{StatusCode: response.StatusCode}, want, fmt.Sprint(size, " bytes"))
			_ = response.Body.Close()
		}
	}
	if held := server.bodies.used.Load(); held != 0 {
		t.Errorf("%d bytes of the budget are still in use", held)
	}
}

func TestAppendRefusesTooManyLargeBodiesAtOnce(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), nil, false)
	most := server.bodies.limit
	if err := server.bodies.take(int(most) - 6000); err != nil {
		t.Fatal(err)
	}
	body := `{"events":[{"type":"A","data":"` + strings.Repeat("x", 10_000) + `"}]}`
	response, text := server.send(t, "POST", "/append", body)
	wantProblem(t, response, text, http.StatusServiceUnavailable, wire.Limit, "at a limit")
	if response.Header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	response, text = server.send(t, "POST", "/append", `{"events":[{"type":"A"}]}`)
	wantStatus(t, response, http.StatusOK, text)
	if held := server.bodies.used.Load(); held != most-6000 {
		t.Errorf("%d bytes of the budget are in use, want %d", held, most-6000)
	}
}

func TestServeHTTPRefusesQueriesBeyondTheLimit(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), &Options{Limits: wire.Limits{QueryItems: 2}}, false)
	for n, want := range map[int]int{2: 200, 3: 400} {
		query := `{"items":[` + strings.TrimSuffix(strings.Repeat(`{"types":["A"]},`, n), ",") + `]}`
		for _, c := range []struct{ method, target, body, field string }{
			{"GET", "/read?query=" + url.QueryEscape(query), "", "/query"},
			{"POST", "/read", `{"query":` + query + `}`, "/query"},
			{"POST", "/append", `{"events":[{"type":"B"}],"condition":{"failIfEventsMatch":` + query + `}}`, "/condition/failIfEventsMatch"},
		} {
			response, text := server.send(t, c.method, c.target, c.body)
			if wantStatus(t, response, want, text); want != 200 {
				wantProblem(t, response, text, want, wire.Invalid, c.field+" has 3 items; the limit of this server is 2")
			}
		}
	}
	response, text := server.send(t, "GET", "/subscribe?query="+url.QueryEscape(`{"items":[{},{},{}]}`), "")
	wantProblem(t, response, text, http.StatusBadRequest, wire.Invalid, "the limit of this server is 2")
}

// Limits of the contract are checked with the names of this protocol. Lists are refused while
// they are being parsed.
func TestAppendChecksTheLimitsOfTheContract(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), nil, false)
	long := func(n int) string { return strings.Repeat("x", n) }
	tags := func(n int) string {
		var text []string
		for i := range n {
			text = append(text, fmt.Sprintf(`"t%d"`, i))
		}
		return strings.Join(text, ",")
	}
	entries := func(n int) string {
		var text []string
		for i := range n {
			text = append(text, fmt.Sprintf(`"k%d":""`, i))
		}
		return strings.Join(text, ",")
	}
	event := func(rest string) string { return `{"events":[{"type":"A",` + rest + `}]}` }
	for _, c := range []struct {
		good, bad, says string
		limit           int
	}{
		{`{"events":[{"type":"` + long(256) + `"}]}`, `{"events":[{"type":"` + long(257) + `"}]}`, "/events/0/type has 257 bytes", 256},
		{event(`"tags":["` + long(1024) + `"]`), event(`"tags":["` + long(1025) + `"]`), "/events/0/tags/0 has 1025 bytes", 1024},
		{event(`"tags":[` + tags(128) + `,"t1"]`), event(`"tags":[` + tags(129) + `]`), "/events/0/tags has 129 different tags", 128},
		{event(`"metadata":{` + entries(64) + `}`), event(`"metadata":{` + entries(65) + `}`), "/events/0/metadata has more than 64 entries", 64},
		{event(`"metadata":{"` + long(256) + `":""}`), event(`"metadata":{"` + long(257) + `":""}`), "/events/0/metadata key has 257 bytes", 256},
		{event(`"metadata":{"Type":"` + long(4096) + `"}`), event(`"metadata":{".Type":"` + long(4097) + `"}`), `/events/0/metadata/.Type has 4097 bytes`, 4096},
		{
			`{"events":[` + strings.Repeat(`{"type":"A"},`, dcb.MaxEvents-1) + `{"type":"A"}]}`,
			`{"events":[` + strings.Repeat(`{"type":"A"},`, dcb.MaxEvents) + `{"type":"A"},garbage`, "/events has more than 65536 events", 65536,
		},
		{
			`{"events":[{"type":"A"}],"condition":{"after":99999999,"failIfEventsMatch":{"items":[` + strings.Repeat(`{},`, dcb.MaxQueryItems-1) + `{}]}}}`,
			`{"events":[{"type":"A"}],"condition":{"failIfEventsMatch":{"items":[` + strings.Repeat(`{},`, dcb.MaxQueryItems) + `{},garbage`,
			"/condition/failIfEventsMatch/items has more than 65536 items", 65536,
		},
	} {
		response, text := server.send(t, "POST", "/append", c.good)
		wantStatus(t, response, http.StatusOK, c.says+text)
		response, text = server.send(t, "POST", "/append", c.bad)
		wantProblem(t, response, text, http.StatusBadRequest, "", c.says)
		if !strings.Contains(text, fmt.Sprintf(`"limit":%d}`, c.limit)) {
			t.Errorf("the limit %d is missing: %s", c.limit, text)
		}
	}
}

func TestReadReturnsDataOfTheMaximumSize(t *testing.T) {
	t.Parallel()
	c := serve(t, memstore.New(nil), nil, false).client()
	for _, data := range [][]byte{
		bytes.Repeat([]byte{0}, dcb.MaxDataBytes), // six times as long in the response
		bytes.Repeat([]byte{0xff}, dcb.MaxDataBytes),
	} {
		position, err := c.Append(t.Context(), []dcb.Event{{Type: "A", Data: data}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		result, err := c.Read(t.Context(), dcb.All(), dcb.ReadOptions{After: position - 1})
		if err != nil || len(result.Events) != 1 || !bytes.Equal(result.Events[0].Data, data) {
			t.Errorf("%x…: %v, %d events", data[:1], err, len(result.Events))
		}
	}
}

func TestAppendRefusesOtherContentTypes(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), nil, false)
	for header, want := range map[string]int{
		"":                                  200,
		"application/json":                  200,
		"Application/JSON":                  200,
		"application/json; charset=utf-8":   200,
		"application/json;charset=UTF-8":    200,
		"application/json; charset=utf-16":  415,
		"application/json-seq":              415,
		"application/x-www-form-urlencoded": 415,
		"text/plain":                        415,
		"application/json; charset":         415,
	} {
		var headers []string
		if header != "" {
			headers = []string{"Content-Type", header}
		}
		response, text := server.send(t, "POST", "/append", `{"events":[{"type":"A"}]}`, headers...)
		wantStatus(t, response, want, header+text)
	}
	response, text := server.send(t, "POST", "/append", `{"events":[{"type":"A"}]}`, "Content-Encoding", "gzip")
	wantProblem(t, response, text, http.StatusUnsupportedMediaType, wire.Invalid, "Content-Type")
}

func TestServerRefusesALargeHeader(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), nil, false)
	query := func(n int) string {
		return "/read?query=" + url.QueryEscape(`{"items":[`+strings.Repeat(`{},`, n)+`{}]}`)
	}
	response, text := server.send(t, "GET", query(20_000), "")
	wantStatus(t, response, http.StatusOK, text)
	response, _ = server.send(t, "GET", query(200_000), "")
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", response.StatusCode)
	}
}
