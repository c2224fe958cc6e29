package dcbhttp

import (
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcbstore/dcb"
)

// seeds are what the fuzzers begin with: requests as they should be, and what has broken decoders before.
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

// checkRefusal fails if an error is none of those that a caller is told well.
func checkRefusal(t *testing.T, text []byte, err error) {
	t.Helper()
	var invalid *dcb.InvalidError
	if !errors.As(err, &invalid) || invalid.Field == "" || invalid.Problem == "" {
		t.Errorf("%q: %v does not name what is wrong", text, err)
	}
	if p := problemOf(err); p.Status != 400 {
		t.Errorf("%q: %+v", text, p)
	}
}

// checkJSON fails if text was taken that is not JSON.
func checkJSON(t *testing.T, text []byte) {
	t.Helper()
	if !json.Valid(text) {
		t.Errorf("%q is not JSON, and was taken", text)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read := func(text []byte) (q dcb.Query, opts dcb.ReadOptions, err error) {
			err = parseBody(text, func(p *parser) (err error) {
				q, opts, err = p.readRequest()
				return err
			})
			return q, opts, err
		}
		q, opts, err := read(text)
		if err != nil {
			checkRefusal(t, text, err)
			return
		}
		checkJSON(t, text)
		options, none := optionsOut(opts)
		if none {
			t.Fatalf("%q: after the last of all positions", text)
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
			err = parseBody(text, func(p *parser) (err error) {
				events, condition, err = p.appendRequest()
				return err
			})
			return events, condition, err
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

// FuzzNumber compares the numbers that are taken with the exact ones.
func FuzzNumber(f *testing.F) {
	for _, seed := range []string{
		"0", "-0", "-1", "17", "017", "17.0", "1.7e1", "170E-1", "1.75e1", "18446744073709551615", "18446744073709551616", "1e19", "1e20", "0e999", "0e-2",
		"1e99999999999999999999", "", "+1", "1_0", "0x1", ".5", "5.", "1e", "1e+", "00", "1.0e0", "1e++1", "1e+-1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, exponent, _ := strings.Cut(strings.ToLower(text), "e"); len(text) > 50 || len(exponent) > 3 {
			return // not for math/big, which would make the number
		}
		got, err := parseWhole(text)
		want, ok := new(big.Rat).SetString(text)
		ok = ok && json.Valid([]byte(text)) && strings.TrimSpace(text) == text && want.IsInt() && want.Num().IsUint64()
		if (err == nil) != ok || ok && got != want.Num().Uint64() {
			t.Errorf("%q: %d, %v; want %v, %v", text, got, err, want, ok)
		}
	})
}

// FuzzString compares the strings that are taken with those of the standard library, which takes more.
func FuzzString(f *testing.F) {
	for _, seed := range []string{`"a"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\u00E9\/\b"`, "\"\xff\"", `"\u0000"`, `"` + "\u2028" + `"`, `"\uD83D\uDE00x\\"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want string
		err := parse(text, "text", func(p *parser) (err error) {
			got, err = p.string()
			return err
		})
		wantErr := json.Unmarshal(text, &want)
		switch {
		case err == nil && (wantErr != nil || got != want):
			t.Errorf("%q: %q; the standard library says %q, %v", text, got, want, wantErr)
		case err != nil && wantErr == nil && string(text) != "null" && !strings.ContainsRune(want, '\ufffd'):
			if strings.TrimSpace(string(text)) != "null" {
				t.Errorf("%q is refused: %v", text, err)
			}
		}
	})
}
