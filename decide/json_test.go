package decide_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/dcbstore/dcb/decide"
)

// spelled is written by a method that has a pointer for its receiver, and read by another.
type spelled struct{ letters []string }

func (s *spelled) MarshalText() ([]byte, error) { return []byte(strings.Join(s.letters, "-")), nil }

func (s *spelled) UnmarshalText(text []byte) error {
	s.letters = strings.Split(string(text), "-")
	return nil
}

// boxed is all of an event.
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

func TestMethodsOfPointersWriteWhatIsRecorded(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[paid]("Paid"), decide.Type[boxed]("Boxed"), decide.Type[spelled]("Spelled"))
	huge, ok := new(big.Int).SetString("123456789012345678901234567890", 10)
	if !ok {
		t.Fatal("no number")
	}
	full := paid{Amount: *huge, Twice: [2]big.Int{*huge, *huge}, Many: []big.Int{*huge}, Pointer: huge, Parent: &paid{Amount: *huge}}
	full.ByName, full.Slices, full.Inner.Name = map[string]*big.Int{"a": huge}, map[string][]big.Int{"a": {*huge}}, spelled{[]string{"a", "b"}}
	full.Parent.Inner.Name.letters = []string{""}
	for _, event := range []any{full, boxed{7}, spelled{[]string{"a", "b"}}} {
		encoded, err := codec.Encode(event)
		if err != nil {
			t.Errorf("%T: %v", event, err)
			continue
		}
		if got, err := codec.Decode(encoded); !reflect.DeepEqual(got, event) || err != nil {
			t.Errorf("%T was recorded as %s and read as %+v, %v", event, encoded.Data, got, err)
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

func TestAnEncodingIsGivenValues(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[boxed]("Boxed")).WithEncoding(valuesOnly{})
	if _, err := codec.Encode(boxed{7}); err != nil {
		t.Error(err)
	}
}
