package guide_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/memstore"
)

// memberJoined1 is version 1 of MemberJoined, without a country.
type memberJoined1 struct {
	Member string `json:"member"`
	City   string `json:"city"`
}

type MemberJoined struct {
	Member  string `json:"member" dcb:"member"`
	City    string `json:"city"`
	Country string `json:"country"`
}

var evolved = decide.NewCodec(
	decide.Type[MemberJoined]("MemberJoined",
		decide.Upcast(func(old memberJoined1) MemberJoined {
			return MemberJoined{old.Member, old.City, "NL"}
		}),
	),
)

func Example_upcast() {
	old := dcb.Event{Type: "MemberJoined", Data: []byte(`{"member":"ann","city":"Delft"}`)}
	event, err := evolved.Decode(old)
	fmt.Printf("%+v %v\n", event, err)

	current, err := evolved.Encode(MemberJoined{"bob", "Gent", "BE"})
	fmt.Println(current.Metadata, err)
	// Output:
	// {Member:ann City:Delft Country:NL} <nil>
	// map[version:2] <nil>
}

func TestUpcastOfAnOldMemberJoined(t *testing.T) {
	t.Parallel()
	s := decidetest.New(t, evolved, nil)
	s.GivenRecorded(dcb.Event{Type: "MemberJoined", Tags: []string{"member:ann"}, Data: []byte(`{"member":"ann","city":"Delft"}`)})
	country := decide.NewProjection("", decide.On(func(_ string, e MemberJoined) string { return e.Country })).Tagged("member", "ann")
	if _, err := decide.New(s.Store, evolved, nil).Read(t.Context(), country); err != nil || country.State() != "NL" {
		t.Errorf("the country is %q (error %v), want \"NL\"", country.State(), err)
	}
}

// LoanID is a UUID with the methods of uuid.UUID, including its JSON, and one for its tag.
type LoanID struct{ uuid.UUID }

func (id LoanID) TagValue() string { return id.String() }

func Example_tagOfAUUID() {
	type LoanEnded struct {
		Loan LoanID `json:"loan" dcb:"loan"`
	}
	id := LoanID{uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")}
	event, err := decide.NewCodec(decide.Type[LoanEnded]("LoanEnded")).Encode(LoanEnded{id})
	fmt.Println(event.Tags, err)
	fmt.Println(string(event.Data))
	// Output:
	// [loan:6ba7b810-9dad-11d1-80b4-00c04fd430c8] <nil>
	// {"loan":"6ba7b810-9dad-11d1-80b4-00c04fd430c8"}
}

// Without an upcast, a renamed field is silently zero.
func Example_renamedField() {
	type MemberJoined struct {
		Name string `json:"name"` // was "member"
	}
	event, err := decide.NewCodec(decide.Type[MemberJoined]("MemberJoined")).Decode(dcb.Event{Type: "MemberJoined", Data: []byte(`{"member":"ann"}`)})
	fmt.Printf("%+v %v\n", event, err)
	// Output:
	// {Name:} <nil>
}

// Keys holds one encryption key per person, in a place where it can be deleted, outside the events.
// The key of a person who was forgotten is empty.
type Keys map[string][]byte

var ErrForgotten = errors.New("the key of this person was deleted")

func (k Keys) cipher(person string) (cipher.AEAD, error) {
	if len(k[person]) == 0 {
		return nil, ErrForgotten
	}
	block, err := aes.NewCipher(k[person])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (k Keys) Seal(person, text string) ([]byte, error) {
	if _, known := k[person]; !known {
		k[person] = make([]byte, 32)
		rand.Read(k[person])
	}
	aead, err := k.cipher(person)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, []byte(text), []byte(person)), nil
}

func (k Keys) Open(person string, sealed []byte) (string, error) {
	aead, err := k.cipher(person)
	if err != nil {
		return "", err
	}
	text, err := aead.Open(nil, nil, sealed, []byte(person))
	return string(text), err
}

// Forget replaces the key by an empty one, so that Seal does not make a new key for the person.
func (k Keys) Forget(person string) { k[person] = nil }

type AddressGiven struct {
	Member  string `json:"member" dcb:"member"` // a random ID
	Address []byte `json:"address"`             // sealed
}

func Example_shredding() {
	ctx, keys := context.Background(), Keys{}
	codec := decide.NewCodec(decide.Type[AddressGiven]("AddressGiven"))
	runner := decide.New(memstore.New(nil), codec, nil)

	sealed, err := keys.Seal("m1", "Oude Delft 1") // outside the function of Do, which may run several times
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = runner.Record(ctx, AddressGiven{"m1", sealed})
	fmt.Println(err)

	address := decide.NewProjection([]byte(nil),
		decide.On(func(_ []byte, e AddressGiven) []byte { return e.Address }),
	).Tagged("member", "m1")
	_, err = runner.Read(ctx, address)
	fmt.Println(err)

	fmt.Println(keys.Open("m1", address.State())) // address is a projection of AddressGiven
	keys.Forget("m1")                             // the event stays, but its address cannot be read
	fmt.Println(keys.Open("m1", address.State()))

	_, err = keys.Seal("m1", "Nieuwe Delft 2")
	fmt.Println(err)
	// Output:
	// <nil>
	// <nil>
	// Oude Delft 1 <nil>
	//  the key of this person was deleted
	// the key of this person was deleted
}
