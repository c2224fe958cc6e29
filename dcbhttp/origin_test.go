package dcbhttp

import (
	"net/http"
	"strings"
	"testing"

	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

func TestServeHTTPChecksTheOriginOfWebPages(t *testing.T) {
	t.Parallel()
	const named, other = "https://app.example.com", "https://evil.example.com"
	event := `{"events":[{"type":"A"}]}`
	for _, origins := range [][]string{nil, {named}} {
		server := serve(t, memstore.New(nil), &Options{Origins: origins, Keys: auth.NewKeys(someKeys()...)}, false)
		for _, origin := range []string{"", named, other, "null"} {
			allowed := origin == named && origins != nil
			header := []string{"Authorization", "Bearer " + bothKey}
			if origin != "" {
				header = append(header, "Origin", origin, "Sec-Fetch-Site", "cross-site")
			}
			response, text := server.send(t, "GET", "/head", "", header...)
			wantStatus(t, response, http.StatusOK, text) // without the header, a browser does not pass the response to the page
			wantOrigin(t, response, origin, allowed)
			response, text = server.send(t, "POST", "/append", event, header...)
			if allowed || origin == "" {
				wantStatus(t, response, http.StatusOK, text)
			} else {
				wantProblem(t, response, text, http.StatusForbidden, wire.Invalid, "Origin is not one of the origins")
			}
			wantOrigin(t, response, origin, allowed)
			if vary := response.Header.Get("Vary"); (vary == "Origin") != (origins != nil) {
				t.Errorf("Vary: %q", vary)
			}

			// The preflight request of a browser has no key.
			response, text = server.send(t, "OPTIONS", "/append", "", append(header[2:], "Access-Control-Request-Method", "POST")...)
			wantOrigin(t, response, origin, allowed)
			if allowed {
				wantStatus(t, response, http.StatusNoContent, text)
				if got := response.Header.Get("Access-Control-Allow-Headers"); got != "Authorization, Content-Type, Last-Event-ID" {
					t.Errorf("Access-Control-Allow-Headers: %q", got)
				}
			} else {
				wantStatus(t, response, http.StatusMethodNotAllowed, text)
			}
		}
	}
}

func wantOrigin(t *testing.T, response *answer, origin string, allowed bool) {
	t.Helper()
	want := ""
	if allowed {
		want = origin
	}
	if got := response.Header.Get("Access-Control-Allow-Origin"); got != want {
		t.Errorf("Access-Control-Allow-Origin for %q: %q, want %q", origin, got, want)
	}
}

func TestNewNamesAWrongOption(t *testing.T) {
	t.Parallel()
	for _, opts := range []*Options{
		{Origins: []string{"*"}},
		{Origins: []string{"app.example.com"}},
		{Origins: []string{"https://app.example.com/path"}},
		{Limits: wire.Limits{QueryItems: -1}},
		{Limits: wire.Limits{CallTime: -1}},
	} {
		if _, err := New(memstore.New(nil), opts); err == nil {
			t.Errorf("New(%+v) = nil", opts)
		} else if !strings.Contains(err.Error(), "Options.") {
			t.Errorf("New(%+v) = %v, want the name of the option", opts, err)
		}
	}
}
