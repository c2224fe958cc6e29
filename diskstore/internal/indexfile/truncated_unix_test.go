//go:build unix

package indexfile_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/internal/vfs"
)

func TestAFileThatBecameShorterIsBrokenAndNoCrash(t *testing.T) {
	t.Parallel()
	m := randomModel(rand.New(rand.NewPCG(1, 2)), 20_000, 300, 3000)
	name := filepath.Join(t.TempDir(), "an index")
	check(t, os.WriteFile(name, written(t, m.meta(), m), 0o600))
	x, err := indexfile.Open(vfs.OS(), name)
	check(t, err)
	defer x.Close()
	if _, _, err := x.Event(0); err != nil {
		t.Fatal(err)
	}
	check(t, os.Truncate(name, indexfile.PageBytes))
	if _, _, err := x.Event(m.Count() - 1); !errors.Is(err, indexfile.ErrBroken) {
		t.Fatal(err)
	}
	if err := x.Verify(t.Context()); !errors.Is(err, indexfile.ErrBroken) {
		t.Fatal(err)
	}
}
