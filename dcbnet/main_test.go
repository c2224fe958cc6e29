package dcbnet

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/dcbstore/dcb/internal/pgtest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(serverDir); dir != "" {
		fmt.Fprintln(os.Stderr, serveDirectory(context.Background(), dir))
		os.Exit(1)
	}
	os.Exit(pgtest.Main(m))
}
