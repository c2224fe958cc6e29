package dcbhttp

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
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

func TestTheDocumentHasEveryPathAndMethodAndNoOther(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	var want, got []string
	for _, route := range routes(true) {
		method := strings.ToLower(route.method)
		want = append(want, route.path+" "+method)
		open := d.Paths[route.path][method].Security != nil // [] stands for no key
		if open != (route.right == 0) {
			t.Errorf("%s %s: whether it needs a key is documented wrongly", route.method, route.path)
		}
		if _, ok := d.Paths[route.path][method].Responses["401"]; ok != (route.right != 0) {
			t.Errorf("%s %s: 401 is documented wrongly", route.method, route.path)
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

func TestTheDocumentHasEveryFieldAndNoOther(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	want := map[string][]string{
		"ReadRequest": readFields, "AppendRequest": appendFields, "Event": eventFields, "AppendCondition": conditionFields,
		"Query": queryFields, "QueryItem": itemFields, "ReadOptions": optionFields,
		"Position": {},
	}
	for name, value := range map[string]any{
		"SequencedEvent": eventJSON{}, "Appended": appendedJSON{}, "Head": headJSON{}, "Status": statusJSON{}, "Problem": problemJSON{},
	} {
		kind := reflect.TypeOf(value)
		for part := range kind.Fields() {
			field, option, _ := strings.Cut(part.Tag.Get("json"), ",")
			want[name] = append(want[name], field)
			if always := option == ""; always != slices.Contains(d.Components.Schemas[name].Required, field) {
				t.Errorf("%s.%s: it is always there: %v; the document says otherwise", name, field, always)
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

// Each field that is listed is one that the code reads: what it says of a wrong value shows it.
func TestEveryFieldIsRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fields []string
		read   func(*parser) error
	}{
		{readFields, func(p *parser) error { _, _, err := p.readRequest(); return err }},
		{appendFields, func(p *parser) error { _, _, err := p.appendRequest(); return err }},
		{eventFields, func(p *parser) error { _, err := p.event(); return err }},
		{conditionFields, func(p *parser) error { _, err := p.condition(); return err }},
		{queryFields, func(p *parser) error { _, err := p.query(); return err }},
		{itemFields, func(p *parser) error { _, err := p.item(); return err }},
		{optionFields, func(p *parser) error { _, err := p.options(); return err }},
	} {
		for _, field := range c.fields {
			var invalid *dcb.InvalidError
			err := parse([]byte(`{"`+field+`":-0.5}`), "", c.read)
			if !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s: -0.5: error %v, want one about it", field, err)
			}
		}
	}
}

func TestTheDocumentHasEveryParameterAndNoOther(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	server := serve(t, memstore.New(nil), nil, false)
	for path, methods := range d.Paths {
		get, ok := methods["get"]
		if !ok || path == "/healthz" || path == "/readyz" || path == "/openapi.json" || path == "/metrics" {
			continue // whatever else is asked there is read over
		}
		var want []string
		for _, p := range get.Parameters {
			if p.In == "query" {
				want = append(want, p.Name)
			}
		}
		says := "there are " + strings.Join(want, ", ")
		if len(want) == 0 {
			says = "there are no parameters"
		}
		response, text := server.send(t, "GET", path+"?nothing=1", "")
		wantProblem(t, response, text, http.StatusBadRequest, wire.Invalid, says)
	}
}

func TestTheDocumentHasEveryCode(t *testing.T) {
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

func TestTheDocumentIsServedAsItIs(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), &Options{Keys: auth.NewKeys()}, false)
	response, text := server.send(t, "GET", "/openapi.json", "")
	if response.StatusCode != http.StatusOK || text != string(document) || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v", response.StatusCode, response.Header)
	}
}
