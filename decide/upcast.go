package decide

import (
	"fmt"
	"reflect"
	"strconv"

	"github.com/dcbstore/dcb"
)

// VersionKey is the metadata key under which the codec records the version of an event's data,
// for types with upcasts. An event without it has version 1.
const VersionKey = "version"

// Upcaster converts one version of an event type to the next. [Upcast] makes upcasters.
type Upcaster struct {
	from, to  reflect.Type
	unmarshal func(encoding Encoding, data []byte) (any, error) // returns *From
	apply     func(from any) any                                // converts *From to *To
}

// Upcast returns an upcaster that converts one version of a type's data to the next with fn. The
// upcasts of a type begin with the oldest version, and the last one returns the registered type:
//
//	decide.Type[CourseDefined]("CourseDefined",
//		decide.Upcast(func(old courseDefined1) courseDefined2 { … }),
//		decide.Upcast(func(old courseDefined2) CourseDefined { … }),
//	)
//
// New events carry the number of the newest version in their metadata, here 3, and recorded
// events never change. A program that reads an event of a newer version than it knows returns an
// error, because a decision without that event could be wrong. So deploy the programs that can
// read a new version before the programs that write it.
func Upcast[From, To any](fn func(old From) To) Upcaster {
	u := Upcaster{from: reflect.TypeFor[From](), to: reflect.TypeFor[To](), unmarshal: unmarshalerOf[From]()}
	if fn != nil { // Type refuses an upcaster without a function
		u.apply = func(from any) any {
			to := fn(*from.(*From))
			return &to
		}
	}
	return u
}

// checkUpcasts checks that the upcasts lead to goType without a gap. It returns the version of
// goType, or "" if there are no upcasts.
func checkUpcasts(goType reflect.Type, upcasts []Upcaster) (string, error) {
	if len(upcasts) == 0 {
		return "", nil
	}
	for i, u := range upcasts {
		switch {
		case u.from == nil:
			return "", fmt.Errorf("upcast %d is empty; make it with Upcast", i+1)
		case u.apply == nil:
			return "", fmt.Errorf("upcast %d, from %v to %v, has no function", i+1, u.from, u.to)
		}
		next := goType
		if i+1 < len(upcasts) {
			next = upcasts[i+1].from
		}
		if u.to != next {
			return "", fmt.Errorf("upcast %d leads from %v to %v; it must lead to %v", i+1, u.from, u.to, next)
		}
	}
	return strconv.Itoa(len(upcasts) + 1), nil
}

// decode returns the event as a pointer to its Go type. It applies the upcasts from the version
// of the event on.
func (t *eventType) decode(encoding Encoding, event *dcb.Event) (any, error) {
	decoded, err := t.decodeVersion(encoding, event)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	return decoded, nil
}

func (t *eventType) decodeVersion(encoding Encoding, event *dcb.Event) (any, error) {
	version, newest := 1, len(t.upcasts)+1
	if recorded, ok := event.Metadata[VersionKey]; ok {
		var err error
		if version, err = strconv.Atoi(recorded); err != nil || version < 1 || version > newest {
			return nil, fmt.Errorf("the event has version %q, but this program knows versions 1 to %d; update the program",
				recorded, newest)
		}
	}
	if version == newest {
		return t.unmarshal(encoding, event.Data)
	}
	upcasts := t.upcasts[version-1:]
	decoded, err := upcasts[0].unmarshal(encoding, event.Data)
	if err != nil {
		return nil, err
	}
	for _, u := range upcasts {
		decoded = u.apply(decoded)
	}
	return decoded, nil
}
