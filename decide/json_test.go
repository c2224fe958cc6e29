package decide_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
)

// spelled has a MarshalText with a pointer receiver.
type spelled struct{ letters []string }

func (s *spelled) MarshalText() ([]byte, error) { return []byte(strings.Join(s.letters, "-")), nil }

func (s *spelled) UnmarshalText(text []byte) error {
	s.letters = strings.Split(string(text), "-")
	return nil
}

// boxed is an event with a MarshalJSON that has a pointer receiver.
type boxed struct{ n int }

func (b *boxed) MarshalJSON() ([]byte, error)    { return json.Marshal(b.n) }
func (b *boxed) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &b.n) }

type paid struct {
	Amount  big.Int
	Twice   [2]big.Int
	Many    []big.Int
	Pointer *big.Int
	ByName  map[string]*big.Int
	Slices  map[string][]big.Int
	Inner   struct{ Name spelled }
	Parent  *paid
}

func TestCodecEncodeCallsPointerMethods(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[paid]("Paid"), decide.Type[boxed]("Boxed"), decide.Type[spelled]("Spelled"))
	huge, ok := new(big.Int).SetString("123456789012345678901234567890", 10)
	if !ok {
		t.Fatal("SetString refused the number")
	}
	full := paid{
		Amount: *huge, Twice: [2]big.Int{*huge, *huge}, Many: []big.Int{*huge}, Pointer: huge,
		ByName: map[string]*big.Int{"a": huge}, Slices: map[string][]big.Int{"a": {*huge}}, Parent: &paid{Amount: *huge},
	}
	full.Inner.Name = spelled{[]string{"a", "b"}}
	full.Parent.Inner.Name.letters = []string{""}
	for _, event := range []any{full, boxed{7}, spelled{[]string{"a", "b"}}} {
		encoded, err := codec.Encode(event)
		if err != nil {
			t.Errorf("Encode(%T) = %v", event, err)
			continue
		}
		if got, err := codec.Decode(encoded); !reflect.DeepEqual(got, event) || err != nil {
			t.Errorf("%T was encoded as %s and decoded as %+v, %v", event, encoded.Data, got, err)
		}
	}
}

var errNotAValue = errors.New("not a value")

type valuesOnly struct{ gobs }

func (valuesOnly) Marshal(event any) ([]byte, error) {
	if _, ok := event.(boxed); !ok {
		return nil, errNotAValue
	}
	return []byte("x"), nil
}

func TestCodecEncodePassesValuesToEncodings(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[boxed]("Boxed")).WithEncoding(valuesOnly{})
	if _, err := codec.Encode(boxed{7}); err != nil {
		t.Error(err)
	}
}

func TestCodecDecodeKeepsJSONNumbers(t *testing.T) {
	t.Parallel()
	type amount struct {
		Of   json.Number
		Each map[string][]*json.Number
	}
	type older struct{ Of [1]json.Number }
	codec := decide.NewCodec(decide.Type[amount]("Amount", decide.Upcast(func(old older) amount { return amount{Of: old.Of[0]} })))
	cents := json.Number("0.1000000000000000000000000000000001")
	for data, want := range map[string]amount{
		`{"Of":[` + cents.String() + `]}`: {Of: cents},
		`{"Of":["12"]}`:                   {Of: "12"},
		`{"Of":` + cents.String() + `,"Each":{"a":[1e2,"3"],"b":[]}}`: {
			Of:   cents,
			Each: map[string][]*json.Number{"a": {new(json.Number("1e2")), new(json.Number("3"))}, "b": {}},
		},
	} {
		event := dcb.Event{Type: "Amount", Data: []byte(data)}
		if want.Each != nil {
			event.Metadata = map[string]string{decide.VersionKey: "2"}
		}
		if got, err := codec.Decode(event); !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("Decode of %s = %+v, %v, want %+v", data, got, err, want)
		}
	}
	if got, err := codec.Decode(dcb.Event{Type: "Amount", Data: []byte(`{"Of":["x"]}`)}); err == nil {
		t.Errorf("Decode of a number that is not one = %+v, want an error", got)
	}
}
