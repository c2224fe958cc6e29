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
	private map[string]big.Int //nolint:unused // is not written
	Out     map[string]big.Int `json:"-"`
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

// What a map holds has no address, so that package json would write it without its method.
func TestAMapThatJSONWouldLoseIsNotRecorded(t *testing.T) {
	t.Parallel()
	type totals struct{ ByName *[]map[string][2]big.Int }
	codec := decide.NewCodec(decide.Type[totals]("Totals"))
	if encoded, err := codec.Encode(totals{}); err == nil || !strings.Contains(err.Error(), "Totals: a big.Int in a map") ||
		!strings.Contains(err.Error(), "*big.Int") {
		t.Errorf("%s, %v", encoded.Data, err)
	}
	if _, err := codec.WithEncoding(gobs{}).Encode(totals{}); err != nil {
		t.Errorf("another encoding: %v", err)
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
