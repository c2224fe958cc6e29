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

// unconditional is a wrong store that ignores conditions once it holds five events. Only some
// sequences of calls show the fault.
type unconditional struct{ *memstore.Store }

func (u unconditional) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if head, err := u.Head(ctx); err == nil && head >= 5 && dcb.ValidateAppend(events, condition) == nil {
		condition = nil
	}
	return u.Store.Append(ctx, events, condition)
}

// checkWrongStore is set in the process that runs Check on the wrong store.
const checkWrongStore = "MODELTEST_CHECK_WRONG_STORE"

// TestCheckFindsAWrongStore runs itself in a process of its own, because Check fails its test.
func TestCheckFindsAWrongStore(t *testing.T) {
	if os.Getenv(checkWrongStore) != "" {
		Check(t, func(testing.TB) dcb.Store { return unconditional{memstore.New(nil)} })
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestCheckFindsAWrongStore$", "-rapid.nofailfile")
	cmd.Env = append(os.Environ(), checkWrongStore+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "dcb: conflict") {
		t.Errorf("Check of a store that ignores conditions: %v, want a failure that names a conflict:\n%s", err, out)
	}
}
