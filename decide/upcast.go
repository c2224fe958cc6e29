package decide

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dcbstore/dcb"
)

// VersionKey is the key in an event's metadata under which the codec notes the version of its data, for types that have
// older ones. An event without it is of version 1.
const VersionKey = "version"

var timeType = reflect.TypeFor[time.Time]()

// Upcaster leads from one version of a type to the next. [Upcast] makes one.
type Upcaster struct {
	from, to reflect.Type
	open     func(encoding Encoding, data []byte) (any, error) // as *From
	apply    func(from any) any                                // *From to *To
}

// Upcast makes an upcaster of a function from one version of a type's data to the next. A type's upcasts begin with the oldest
// version, and the last leads to the type that is registered:
//
//	decide.Type[CourseDefined]("CourseDefined",
//		decide.Upcast(func(old courseDefined1) courseDefined2 { … }),
//		decide.Upcast(func(old courseDefined2) CourseDefined { … }),
//	)
//
// Events are recorded with the newest version's number in their metadata, here 3, so what was recorded never has to be touched. A program that is older than
// an event says so in an error, instead of deciding without it: when a new version is to be rolled out step by step, programs that can read it
// go before those that write it.
func Upcast[From, To any](fn func(old From) To) Upcaster {
	u := Upcaster{from: reflect.TypeFor[From](), to: reflect.TypeFor[To](), open: opener[From]()}
	if fn != nil { // else it is refused when the type is registered
		u.apply = func(from any) any {
			to := fn(*from.(*From))
			return &to
		}
	}
	return u
}

// checkUpcasts returns the version of goType, "" if it is the only one.
func checkUpcasts(goType reflect.Type, upcasts []Upcaster) (string, error) {
	if len(upcasts) == 0 {
		return "", nil
	}
	for i, u := range upcasts {
		switch {
		case u.from == nil:
			return "", fmt.Errorf("upcast %d is empty; Upcast makes them", i+1)
		case u.apply == nil:
			return "", fmt.Errorf("upcast %d, from %v to %v, has nil for its function", i+1, u.from, u.to)
		}
		next := goType
		if i+1 < len(upcasts) {
			next = upcasts[i+1].from
		}
		if u.to != next {
			return "", fmt.Errorf("upcast %d leads from %v to %v, and has to lead to %v", i+1, u.from, u.to, next)
		}
	}
	return strconv.Itoa(len(upcasts) + 1), nil
}

// keysOf returns the keys of the tags that fields give to events of a type in any of its versions, and whether they can have others: those that a
// method gives, or a version whose tags cannot be told.
func keysOf(plan tagPlan, upcasts []Upcaster) (keys []string, others bool) {
	add := func(p tagPlan) {
		others = others || p.byMethod
		for _, f := range p.fields {
			keys = append(keys, strings.TrimSuffix(f.key, ":"))
		}
	}
	add(plan)
	for _, u := range upcasts {
		older, err := planTags(u.from)
		others = others || err != nil // no event is recorded with this one's tags any more, so it may be as it is
		add(older)
	}
	slices.Sort(keys)
	return slices.Compact(keys), others
}

// gives reports whether events of this type can carry a tag with the given key, whatever version they have.
func (t *eventType) gives(key string) bool {
	return t.otherKeys || key == commandKey || slices.Contains(t.keys, key)
}

// decode returns a pointer to a value of the Go type, whatever version the event has.
func (t *eventType) decode(encoding Encoding, event *dcb.Event) (any, error) {
	decoded, err := t.decodeVersion(encoding, event)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	return decoded, nil
}

func (t *eventType) decodeVersion(encoding Encoding, event *dcb.Event) (any, error) {
	version, newest := 1, len(t.upcasts)+1
	if noted, ok := event.Metadata[VersionKey]; ok {
		var err error
		if version, err = strconv.Atoi(noted); err != nil || version < 1 || version > newest {
			return nil, fmt.Errorf("is of version %q, and this program knows 1 to %d", noted, newest)
		}
	}
	if version == newest {
		return t.open(encoding, event.Data)
	}
	older := t.upcasts[version-1:]
	decoded, err := older[0].open(encoding, event.Data)
	if err != nil {
		return nil, err
	}
	for _, u := range older {
		decoded = u.apply(decoded)
	}
	return decoded, nil
}
