package umadb

import (
	"os"
	"testing"

	"github.com/dcbstore/dcb/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
