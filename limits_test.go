package dcb_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// Package dcbtest checks the limits at their edges, on every store. These tests check the texts of
// the errors.

func TestValidateAppendNamesTheFieldAndTheLimit(t *testing.T) {
	for _, c := range []struct {
		name  string
		event dcb.Event
		want  string
	}{
		{
			"no type",
			dcb.Event{},
			"dcb: invalid argument: events[0].Type is empty; it must have 1 to 256 bytes",
		},
		{
			"long type",
			dcb.Event{Type: strings.Repeat("x", 300)},
			"dcb: invalid argument: events[0].Type has 300 bytes; the limit is 256",
		},
		{
			"invalid UTF-8",
			dcb.Event{Type: "T", Tags: []string{"a", "\xff"}},
			"dcb: invalid argument: events[0].Tags[1] is not valid UTF-8",
		},
		{
			"NUL",
			dcb.Event{Type: "T", Metadata: map[string]string{"k": "\x00"}},
			`dcb: invalid argument: events[0].Metadata["k"] contains a NUL byte`,
		},
	} {
		if err := dcb.ValidateAppend([]dcb.Event{c.event}, nil); err == nil || err.Error() != c.want {
			t.Errorf("%s: ValidateAppend = %v, want %s", c.name, err, c.want)
		}
	}
}

func TestValidateReadNamesTheField(t *testing.T) {
	want := "dcb: invalid argument: query has no items; All() selects everything"
	if err := dcb.ValidateRead(nil, dcb.ReadOptions{}); err == nil || err.Error() != want {
		t.Errorf("ValidateRead of an empty query = %v, want %s", err, want)
	}
}

func TestValidateAppendAndValidateReadAcceptValidArguments(t *testing.T) {
	condition := &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}
	if err := dcb.ValidateAppend([]dcb.Event{{Type: "T"}}, condition); err != nil {
		t.Errorf("ValidateAppend = %v, want nil", err)
	}
	if err := dcb.ValidateRead(dcb.All(), dcb.ReadOptions{Limit: 1}); err != nil {
		t.Errorf("ValidateRead = %v, want nil", err)
	}
}

func TestValidateAppendNamesTheEventsWithTheSameID(t *testing.T) {
	id := uuid.UUID{1}
	err := dcb.ValidateAppend([]dcb.Event{{Type: "T"}, {Type: "T", ID: id}, {Type: "T"}, {Type: "T", ID: id}}, nil)
	if !errors.Is(err, dcb.ErrDuplicateID) || !strings.Contains(err.Error(), "events[1] and events[3]") {
		t.Errorf("ValidateAppend = %v, want ErrDuplicateID that names events[1] and events[3]", err)
	}
}
