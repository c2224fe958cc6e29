package dcbhttp

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/memstore"
)

// python returns the directory of the programs in the virtual environment that .ci/python makes.
func python(t *testing.T) string {
	t.Helper()
	script := exec.CommandContext(t.Context(), "bash", filepath.Join("..", ".ci", "python"))
	var errors bytes.Buffer
	script.Stderr = &errors
	path, err := script.Output()
	if err != nil {
		t.Fatalf(".ci/python: %v\n%s", err, &errors)
	}
	return filepath.Dir(strings.TrimSpace(string(path)))
}

// short is an answer that ends soon after it has begun, whenever that is.
type short struct {
	http.ResponseWriter
	end func()
}

// WriteHeader begins it.
func (s *short) WriteHeader(status int) {
	s.ResponseWriter.WriteHeader(status)
	time.AfterFunc(20*time.Millisecond, s.end)
}

// Unwrap is for [http.ResponseController].
func (s *short) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Schemathesis makes requests of what the document says, right ones and wrong ones, and compares the answers with it. The seed is fixed, so
// that it finds today what it will find tomorrow; DCB_SCHEMATHESIS_SEED takes another.
func TestSchemathesisFindsNothing(t *testing.T) {
	t.Parallel()
	bin := python(t)
	h, err := New(memstore.New(nil), &Options{
		Keys:    auth.NewKeys(someKeys()...),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/plain") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.patience.second = time.Millisecond // nobody waits for as long as he says
	// A stream has no end, and what reads it waits for one.
	server := h.serveAt(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/subscribe" {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			w, r = &short{w, cancel}, r.WithContext(ctx)
		}
		h.ServeHTTP(w, r)
	})
	seed := os.Getenv("DCB_SCHEMATHESIS_SEED")
	if seed == "" {
		seed = "1"
	}
	run := exec.CommandContext(t.Context(), filepath.Join(bin, "schemathesis"),
		"run", server.base+"/openapi.json", "--seed", seed, "--max-examples", "30", "--checks", "all", "--workers", "1", // Python 3.11 makes mistakes with more
		"--header", "Authorization: Bearer "+bothKey, "--request-timeout", "120", "--suppress-health-check", "too_slow", "--continue-on-failure", "--no-color",
	)
	run.Dir = t.TempDir() // it leaves files
	run.Env = append(os.Environ(), "PYTHONUTF8=1", "COLUMNS=150")
	if out, err := run.CombinedOutput(); err != nil || !strings.Contains(string(out), "No issues found") {
		t.Errorf("seed %s: %v\n%s", seed, err, out)
	}
}
