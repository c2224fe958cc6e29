package wire

import (
	"fmt"
	"time"

	"github.com/dcbstore/dcb"
)

// Limits bound what callers may ask of a server. The zero value of a field means its default.
type Limits struct {
	// MessageBytes is the maximum size of a request. The default fits the largest append and the
	// largest query that the contract allows. Default 80 MiB.
	MessageBytes int
	// Connections is the maximum number of open connections. The server closes further ones as soon
	// as it accepts them. Default 10,000.
	Connections int
	// Calls is the maximum number of calls under way on one connection, including Waits and
	// subscriptions. Default 4,096.
	Calls int
	// QueryItems is the maximum number of items in a query. Default [dcb.MaxQueryItems].
	QueryItems int
	// CallTime is the maximum duration of a call. Waits and subscriptions are not limited. Default
	// one minute.
	CallTime time.Duration
}

// WithDefaults returns l with its zero fields filled in. An error names the field that is out of
// bounds, after name, which is where l is: "dcbnet: ServerOptions.Limits".
func (l Limits) WithDefaults(name string) (Limits, error) {
	for _, field := range []struct {
		name           string
		value          *int
		byDefault, top int
	}{
		{"MessageBytes", &l.MessageBytes, 80 << 20, 1 << 30},
		{"Connections", &l.Connections, 10_000, 1 << 20},
		{"Calls", &l.Calls, 4096, 1 << 20},
		{"QueryItems", &l.QueryItems, dcb.MaxQueryItems, dcb.MaxQueryItems},
	} {
		if *field.value == 0 {
			*field.value = field.byDefault
		}
		if *field.value < 1 || *field.value > field.top {
			return l, fmt.Errorf("%s.%s is %d; it must be 1 to %d, or 0 for %d",
				name, field.name, *field.value, field.top, field.byDefault)
		}
	}
	if l.CallTime == 0 {
		l.CallTime = time.Minute
	}
	if l.CallTime < 0 {
		return l, fmt.Errorf("%s.CallTime is %v; it must be positive, or 0 for one minute", name, l.CallTime)
	}
	return l, nil
}

// CheckQuery returns an error if q has more items than l allows. The error is a
// [*dcb.InvalidError] that is not [dcb.ErrInvalidQuery], because the contract allows such a
// query.
func (l Limits) CheckQuery(q dcb.Query) error {
	if len(q) > l.QueryItems {
		return &dcb.InvalidError{
			Field: "query", Problem: fmt.Sprintf("has %d items; the limit of this server is %d", len(q), l.QueryItems),
			Limit: l.QueryItems,
		}
	}
	return nil
}
