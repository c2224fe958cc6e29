package dcbhttp

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/eventjson"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

type schemaJSON struct {
	Properties map[string]struct {
		Enum []string
	}
	Required []string
}

type documentJSON struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		Parameters []struct{ Name, In string }
		Responses  map[string]any
		Security   *[]any
	}
	Components struct {
		Schemas   map[string]schemaJSON
		Responses map[string]any
	}
}

func readDocument(t *testing.T) (d documentJSON) {
	t.Helper()
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenAPIDocumentListsTheRoutes(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	var want, got []string
	for _, route := range routes(true) {
		method := strings.ToLower(route.method)
		want = append(want, route.path+" "+method)
		open := d.Paths[route.path][method].Security != nil // [] stands for no key
		if open != (route.permission == 0) {
			t.Errorf("%s %s: the document is wrong about its need of a key", route.method, route.path)
		}
		if _, ok := d.Paths[route.path][method].Responses["401"]; ok != (route.permission != 0) {
			t.Errorf("%s %s: the document is wrong about 401", route.method, route.path)
		}
	}
	for path, methods := range d.Paths {
		for method := range methods {
			got = append(got, path+" "+method)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-code +document:\n%s", diff)
	}
}

func TestOpenAPIDocumentListsTheMembers(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	want := map[string][]string{"Position": {}}
	for name, value := range map[string]any{
		"ReadRequest": readRequest{}, "AppendRequest": appendRequest{}, "Event": eventjson.Event{}, "AppendCondition": appendCondition{},
		"Query": eventjson.Query{}, "QueryItem": eventjson.Item{}, "ReadOptions": readOptions{},
		"SequencedEvent": eventjson.SequencedEvent{}, "Appended": appendResponse{}, "Head": headResponse{}, "Status": statusResponse{},
		"Problem": problemResponse{},
	} {
		isResponse := slices.Contains([]string{"SequencedEvent", "Appended", "Head", "Status", "Problem"}, name)
		for _, field := range reflect.VisibleFields(reflect.TypeOf(value)) {
			member, option, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous {
				continue
			}
			want[name] = append(want[name], member)
			if always := option == ""; isResponse && always != slices.Contains(d.Components.Schemas[name].Required, member) {
				t.Errorf("%s.%s: required is %v in the document, want %v", name, member, !always, always)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		got := slices.Sorted(maps.Keys(d.Components.Schemas[name].Properties))
		if diff := cmp.Diff(slices.Sorted(slices.Values(want[name])), got); diff != "" {
			t.Errorf("%s (-code +document):\n%s", name, diff)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not in the document: %v", want)
	}
}

func TestOpenAPIDocumentListsTheParameters(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	server := serve(t, memstore.New(nil), nil, false)
	for path, methods := range d.Paths {
		get, ok := methods["get"]
		if !ok || path == "/healthz" || path == "/readyz" || path == "/openapi.json" || path == "/metrics" {
			continue // other parameters are ignored there
		}
		var want []string
		for _, p := range get.Parameters {
			if p.In == "query" {
				want = append(want, p.Name)
			}
		}
		says := "known parameters are " + strings.Join(want, ", ")
		if len(want) == 0 {
			says = "this path has no parameters"
		}
		response, text := server.send(t, "GET", path+"?nothing=1", "")
		wantProblem(t, response, text, http.StatusBadRequest, wire.Invalid, says)
	}
}

func TestOpenAPIDocumentListsTheCodes(t *testing.T) {
	t.Parallel()
	got := readDocument(t).Components.Schemas["Problem"].Properties["code"].Enum
	want := []string{}
	for _, code := range []wire.Code{
		wire.Conflict, wire.Invalid, wire.NoEvents, wire.InvalidQuery, wire.DuplicateID, wire.Unavailable, wire.Unknown, wire.Corrupt,
		wire.Canceled, wire.Deadline, wire.NoKey, wire.NoPermission, wire.Limit, wire.Internal,
	} {
		want = append(want, string(code))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-code +document:\n%s", diff)
	}
}

func TestServeHTTPReturnsTheOpenAPIDocument(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), &Options{Keys: auth.NewKeys()}, false)
	response, text := server.send(t, "GET", "/openapi.json", "")
	if response.StatusCode != http.StatusOK || text != string(document) || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v", response.StatusCode, response.Header)
	}
}
