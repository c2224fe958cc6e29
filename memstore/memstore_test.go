package memstore_test

import (
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/internal/modeltest"
	"github.com/dcbstore/dcb/memstore"
)

func open(testing.TB) dcb.Store { return memstore.New(nil) }

func TestStoreKeepsTheContract(t *testing.T) {
	dcbtest.Run(t, open)
}

func TestStoreAnswersAsTheModel(t *testing.T) {
	modeltest.Check(t, open)
}

func BenchmarkStore(b *testing.B) { dcbtest.Benchmark(b, open) }
