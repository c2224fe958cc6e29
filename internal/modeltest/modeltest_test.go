package modeltest

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// forgetful is wrong in a way that only some sequences of calls show: it judges no condition once it holds five events.
type forgetful struct{ *memstore.Store }

func (f forgetful) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if head, err := f.Head(ctx); err == nil && head >= 5 && dcb.ValidateAppend(events, condition) == nil {
		condition = nil
	}
	return f.Store.Append(ctx, events, condition)
}

const forget = "MODELTEST_FORGET"

// TestAWrongStoreIsFound runs itself in a process of its own, because Check fails the test that it is given.
func TestAWrongStoreIsFound(t *testing.T) {
	if os.Getenv(forget) != "" {
		Check(t, func(testing.TB) dcb.Store { return forgetful{memstore.New(nil)} })
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestAWrongStoreIsFound$", "-rapid.nofailfile")
	cmd.Env = append(os.Environ(), forget+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "dcb: conflict") {
		t.Errorf("a store that forgets its conditions passes, or fails otherwise (%v):\n%s", err, out)
	}
}
