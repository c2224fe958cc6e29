package memstore_test

import (
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/memstore"
)

func open(testing.TB) dcb.Store { return memstore.New(nil) }

func TestStoreKeepsTheContract(t *testing.T) {
	dcbtest.Suite{
		Open: open,
		// Every handle on events in memory is the same store.
		Second: func(_ testing.TB, s dcb.Store) dcb.Store { return s },
	}.Run(t)
}
