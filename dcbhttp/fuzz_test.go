package dcbhttp

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcbstore/dcb"
)

// seeds has valid requests, and inputs that are known to break decoders.
var seeds = []string{
	`{}`, `null`, ``, `[]`, `"`, `{"`, `{"a`, `{"query":{},"options":{}}`, `{"query":{"items":[]}}`,
	`{"query":{"items":[{"types":["A","B"],"tags":["x"]},{},{"types":null}]},"options":{"from":1,"to":18446744073709551615,"limit":2,"backwards":true}}`,
	`{"options":{"from":18446744073709551615,"backwards":true}}`, `{"options":{"limit":9223372036854775808}}`, `{"options":{"from":-0}}`,
	`{"events":[{"type":"A","tags":["x","y"],"data":"\ud83d\ude00\n\u0000","id":"01890a5d-ac96-774b-bcce-b302099a8057","metadata":{"k":"v"}}]}`,
	`{"events":[{"type":"A","dataBase64":"/w=="}],"condition":{"failIfEventsMatch":{"items":[{"tags":["x"]}]},"after":18446744073709551615}}`,
	`{"events":[{"type":"\ud800","tags":null}]}`, `{"events":[{"type":"A"}],"events":[]}`, `{"events":[{"type":"A"},]}`, "{\"events\":[{\"type\":\"\xff\"}]}",
	`{"events":[{"type":"A","metadata":{"":"","\u0061":"","a":""}}]}`, `{"condition":{"failIfEventsMatch":{"items":[{"types":[1e400]}]}}}`, `{"\u`, `{"\`, `{"\u0`,
	`[[[[[[[[`, `{"events":[{"id":"00000000-0000-0000-0000-000000000000","type":"\/"}]}`, " \t\r\n{} \t\r\n",
}

// checkRefusal fails if an error is none of those that a caller gets.
func checkRefusal(t *testing.T, text []byte, err error) {
	t.Helper()
	if invalid, ok := errors.AsType[*dcb.InvalidError](err); !ok || invalid.Problem == "" {
		t.Errorf("%q: %v does not name what is wrong", text, err)
	}
	if p := problemOf(err); p.Status != 400 {
		t.Errorf("%q: %+v", text, p)
	}
}

// checkJSON checks that text is JSON.
func checkJSON(t *testing.T, text []byte) {
	t.Helper()
	if !json.Valid(text) {
		t.Errorf("%q is accepted but is not JSON", text)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read := func(text []byte) (q dcb.Query, opts dcb.ReadOptions, err error) {
			var request readRequest
			if err := unmarshal(text, "", &request); err != nil {
				return nil, opts, err
			}
			opts, err = request.Options.contract()
			return request.Query.Query(), opts, err
		}
		q, opts, err := read(text)
		if err != nil {
			checkRefusal(t, text, err)
			return
		}
		checkJSON(t, text)
		options, none := optionsOut(opts)
		if none {
			t.Fatalf("%q: After is the last possible position", text)
		}
		again, err := json.Marshal(map[string]any{"query": queryOut(q), "options": options})
		if err != nil {
			t.Fatal(err)
		}
		q2, opts2, err := read(again)
		if err != nil || !cmp.Equal(queryOut(q), queryOut(q2)) || opts != opts2 {
			t.Errorf("%q became %s: %v, %v and %v, %+v and %+v", text, again, err, q, q2, opts, opts2)
		}
	})
}

func FuzzAppend(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read := func(text []byte) (events []dcb.Event, condition *dcb.AppendCondition, err error) {
			var request appendRequest
			if err := unmarshal(text, "", &request); err != nil {
				return nil, nil, err
			}
			return request.contract()
		}
		events, condition, err := read(text)
		if err != nil {
			checkRefusal(t, text, err)
			return
		}
		checkJSON(t, text)
		out := []any{}
		for _, e := range events {
			out = append(out, eventOut(e))
		}
		body := map[string]any{"events": out}
		if condition != nil {
			body["condition"] = map[string]any{"failIfEventsMatch": queryOut(condition.FailIfEventsMatch), "after": condition.After}
		}
		again, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		events2, condition2, err := read(again)
		if err != nil || len(events) != len(events2) || (condition == nil) != (condition2 == nil) {
			t.Fatalf("%q became %s: %v", text, again, err)
		}
		for i := range events {
			if !events[i].Same(events2[i]) {
				t.Errorf("%q became %s", text, again)
			}
		}
		if condition != nil && (condition.After != condition2.After ||
			!cmp.Equal(queryOut(condition.FailIfEventsMatch), queryOut(condition2.FailIfEventsMatch))) {
			t.Errorf("%q became %s", text, again)
		}
	})
}
