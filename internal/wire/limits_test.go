package wire_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

func TestLimitsWithDefaults(t *testing.T) {
	t.Parallel()
	got, err := wire.Limits{}.WithDefaults("Limits")
	want := wire.Limits{MessageBytes: 80 << 20, Connections: 10_000, Calls: 4096, QueryItems: dcb.MaxQueryItems, CallTime: time.Minute}
	if got != want || err != nil {
		t.Errorf("WithDefaults() = %+v, %v; want %+v", got, err, want)
	}
	least := wire.Limits{MessageBytes: 1, Connections: 1, Calls: 1, QueryItems: 1, CallTime: 1}
	most := wire.Limits{MessageBytes: 1 << 30, Connections: 1 << 20, Calls: 1 << 20, QueryItems: dcb.MaxQueryItems, CallTime: math.MaxInt64}
	for _, l := range []wire.Limits{least, most, want} {
		if got, err := l.WithDefaults("Limits"); got != l || err != nil {
			t.Errorf("WithDefaults(%+v) = %+v, %v; want it unchanged", l, got, err)
		}
	}
	for field, l := range map[string]wire.Limits{
		"MessageBytes is -1": {MessageBytes: -1}, "Connections is -1": {Connections: -1}, "Calls is -1": {Calls: -1}, "QueryItems is -1": {QueryItems: -1},
		"MessageBytes is 1073741825": {MessageBytes: 1<<30 + 1}, "Connections is 1048577": {Connections: 1<<20 + 1}, "Calls is 1048577": {Calls: 1<<20 + 1},
		"QueryItems is 65537": {QueryItems: dcb.MaxQueryItems + 1}, "CallTime is -1ns": {CallTime: -1},
	} {
		if _, err := l.WithDefaults("Limits"); err == nil || !strings.Contains(err.Error(), "Limits."+field) {
			t.Errorf("WithDefaults(%+v) = %v; want an error that names %s", l, err, field)
		}
	}
}

func TestLimitsCheckQuery(t *testing.T) {
	t.Parallel()
	l := wire.Limits{QueryItems: 2}
	if err := l.CheckQuery(make(dcb.Query, 2)); err != nil {
		t.Error(err)
	}
	err := l.CheckQuery(make(dcb.Query, 3))
	if invalid, ok := errors.AsType[*dcb.InvalidError](err); !ok || invalid.Limit != 2 || errors.Is(err, dcb.ErrInvalidQuery) {
		t.Errorf("CheckQuery = %v, want an InvalidError with the limit", err)
	}
}
