package diskstore_test

import (
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/modeltest"
	"github.com/dcbstore/dcb/internal/vfs"
)

// open opens a store and closes it at the end of the test.
func open(t testing.TB, dir string, opts *diskstore.Options) *diskstore.Store {
	t.Helper()
	s, err := diskstore.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // the test may have closed it already
	return s
}

func TestStoreConformance(t *testing.T) {
	dcbtest.Suite{
		Open:    func(t testing.TB) dcb.Store { return open(t, t.TempDir(), nil) },
		Timeout: hangTimeout,
	}.Run(t)
}

func TestStoreConformanceSmallSegments(t *testing.T) {
	dcbtest.Suite{
		Open:    func(t testing.TB) dcb.Store { return open(t, dir, smallSegments(vfs.NewMem())) },
		Timeout: hangTimeout,
	}.Run(t)
}

func TestStoreMatchesModel(t *testing.T) {
	modeltest.Check(t, func(t testing.TB) dcb.Store {
		return open(t, dir, smallSegments(vfs.NewMem()))
	})
}

func BenchmarkStore(b *testing.B) {
	dcbtest.Benchmark(b, func(b testing.TB) dcb.Store { return open(b, b.TempDir(), nil) })
}
