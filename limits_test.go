package dcb_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// The limits at their edges are checked by dcbtest, on every store. Here is what it does not look at: the words of the errors.

func TestInvalidErrorsSayWhatIsWrongAndWhatWouldBeRight(t *testing.T) {
	for _, x := range []struct {
		name  string
		event dcb.Event
		want  string
	}{
		{"no type", dcb.Event{}, "dcb: invalid argument: events[0].Type is empty; it must have 1 to 256 bytes"},
		{"a long type", dcb.Event{Type: strings.Repeat("x", 300)}, "dcb: invalid argument: events[0].Type has 300 bytes; the limit is 256"},
		{"no UTF-8", dcb.Event{Type: "T", Tags: []string{"a", "\xff"}}, "dcb: invalid argument: events[0].Tags[1] is not valid UTF-8"},
		{"NUL", dcb.Event{Type: "T", Metadata: map[string]string{"k": "\x00"}}, `dcb: invalid argument: events[0].Metadata["k"] contains a NUL byte`},
	} {
		if err := dcb.ValidateAppend([]dcb.Event{x.event}, nil); err == nil || err.Error() != x.want {
			t.Errorf("%s: got error %v, want %s", x.name, err, x.want)
		}
	}
	want := "dcb: invalid argument: query has no items; All() selects everything"
	if err := dcb.ValidateRead(nil, dcb.ReadOptions{}); err == nil || err.Error() != want {
		t.Errorf("no query: got error %v, want %s", err, want)
	}
}

func TestValidateReturnsANilErrorForWhatIsValid(t *testing.T) {
	condition := &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}
	if err := dcb.ValidateAppend([]dcb.Event{{Type: "T"}}, condition); err != nil {
		t.Errorf("ValidateAppend: %v", err)
	}
	if err := dcb.ValidateRead(dcb.All(), dcb.ReadOptions{Limit: 1}); err != nil {
		t.Errorf("ValidateRead: %v", err)
	}
}

func TestValidateSaysWhichEventsHaveTheSameID(t *testing.T) {
	id := uuid.UUID{1}
	err := dcb.ValidateAppend([]dcb.Event{{Type: "T"}, {Type: "T", ID: id}, {Type: "T"}, {Type: "T", ID: id}}, nil)
	if !errors.Is(err, dcb.ErrDuplicateID) || !strings.Contains(err.Error(), "events[1] and events[3]") {
		t.Errorf("got error %v", err)
	}
}
