package dcbgrpc

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/dcbstore/dcb/internal/pgtest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(servantDir); dir != "" {
		fmt.Fprintln(os.Stderr, beServant(context.Background(), dir))
		os.Exit(1)
	}
	os.Exit(pgtest.Main(m))
}
