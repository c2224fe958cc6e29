package dcbtest

import (
	"errors"
	"io"

	"github.com/dcbstore/dcb"
)

// closeCases check what Close does. A store that is not an io.Closer passes them.
func closeCases() []Case {
	var cases []Case
	for _, c := range allCalls() {
		cases = append(cases, Case{Name: c.subject + "/fails with ErrClosed after Close", Rule: ruleClose, Run: closed(c)})
	}
	return append(cases,
		Case{
			Name: "Close/a second call returns nil",
			Rule: ruleSecondClose,
			Run: func(t *T) {
				closer, ok := t.Store.(io.Closer)
				if !ok {
					return
				}
				t.append(event("T"))
				for n := range 3 {
					if err := closer.Close(); err != nil {
						t.Errorf("Close number %d: %w, want nil", n+1, err)
					}
				}
			},
		},
		Case{
			Name: "Close/ends calls of Append, Read and Wait that are under way",
			Rule: ruleClose,
			Run:  closeDuringCalls,
		},
	)
}

func closed(c call) func(t *T) {
	return func(t *T) {
		closer, ok := t.Store.(io.Closer)
		if !ok {
			return
		}
		t.append(event("T"))
		if err := closer.Close(); err != nil {
			t.Fatalf("Close: %w", err)
		}
		if err := c.do(t.ctx, t.Store); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("%s after Close returned error %v, want ErrClosed", c.subject, err)
		}
	}
}

// closeDuringCalls closes a store while goroutines append, read and wait. Each call must succeed or
// end with ErrClosed or ErrUnavailable.
func closeDuringCalls(t *T) {
	closer, ok := t.Store.(io.Closer)
	if !ok {
		return
	}
	ended := func(call string, err error) bool {
		if err != nil && !errors.Is(err, dcb.ErrClosed) && !errors.Is(err, dcb.ErrUnavailable) {
			t.Errorf("%s during Close: %w", call, err)
		}
		return err != nil
	}
	appended := make(chan struct{}, 4)
	for range 4 {
		t.Go(func() {
			for {
				_, err := t.Store.Append(t.ctx, []dcb.Event{event("T"), event("T")}, nil)
				select {
				case appended <- struct{}{}:
				default:
				}
				if ended("Append", err) {
					return
				}
			}
		})
	}
	t.Go(func() {
		for {
			result, err := t.Store.Read(t.ctx, dcb.All(), dcb.ReadOptions{Backwards: true, Limit: 10})
			if ended("Read", err) {
				return
			}
			if len(result.Events)%2 != 0 {
				t.Errorf("Read returned %d events after appends of 2", len(result.Events))
			}
		}
	})
	t.Go(func() {
		for head := dcb.Position(0); ; {
			var err error
			if head, err = t.Store.Wait(t.ctx, head); ended("Wait", err) {
				return
			}
		}
	})
	for range 4 {
		<-appended
	}
	if err := closer.Close(); err != nil {
		t.Errorf("Close: %w", err)
	}
}
