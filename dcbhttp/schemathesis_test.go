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

// short ends a response soon after it has begun.
type short struct {
	http.ResponseWriter
	end func()
}

// WriteHeader begins the response.
func (s *short) WriteHeader(status int) {
	s.ResponseWriter.WriteHeader(status)
	time.AfterFunc(20*time.Millisecond, s.end)
}

// Unwrap is for [http.ResponseController].
func (s *short) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Schemathesis generates valid and invalid requests from the OpenAPI document, and compares the
// responses with it. The seed is fixed, so that runs are repeatable. DCB_SCHEMATHESIS_SEED sets
// another.
func TestServeHTTPMatchesTheOpenAPIDocument(t *testing.T) {
	t.Parallel()
	bin := python(t)
	h, err := New(memstore.New(nil), &Options{
		Keys:    auth.NewKeys(someKeys()...),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/plain") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.timeouts.second = time.Millisecond // so that waits are short
	// Schemathesis reads a response to its end, which an event stream does not have.
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
		"run", server.base+"/openapi.json", "--seed", seed, "--max-examples", "30", "--checks", "all", "--workers", "1", // more are not reliable with Python 3.11
		"--header", "Authorization: Bearer "+bothKey, "--request-timeout", "120", "--suppress-health-check", "too_slow", "--continue-on-failure", "--no-color",
	)
	run.Dir = t.TempDir() // it writes files
	run.Env = append(os.Environ(), "PYTHONUTF8=1", "COLUMNS=150")
	if out, err := run.CombinedOutput(); err != nil || !strings.Contains(string(out), "No issues found") {
		t.Errorf("seed %s: %v\n%s", seed, err, out)
	}
}
