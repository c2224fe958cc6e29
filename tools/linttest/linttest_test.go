package linttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the path of the module under test, because the lists of imports name it.
const module = "github.com/dcbstore/dcb"

// file is one file of the module, and the issues in it as "line linter".
type file struct {
	path, content string
	want          []string
}

// imports returns an import declaration as gci formats it: three groups, each sorted.
func imports(paths ...string) string {
	var groups [3]string
	for _, path := range slices.Sorted(slices.Values(paths)) {
		group := 1
		if !strings.Contains(path, ".") {
			group = 0
		} else if strings.HasPrefix(path, module) {
			group = 2
		}
		groups[group] += fmt.Sprintf("\t_ %q // a case\n", path)
	}
	all := slices.DeleteFunc(groups[:], func(group string) bool { return group == "" })
	formatted, err := format.Source([]byte("\nimport (\n" + strings.Join(all, "\n") + ")\n"))
	if err != nil {
		panic(err) // a path in the table below is wrong
	}
	return string(formatted)
}

func doc(name string) string { return "// Package " + name + " is a case.\npackage " + name + "\n" }

// The second function of these is a copy of the first one with other names.
const clone = `
func %[1]s(%[2]s []int) (even, odd, sum int, texts []string) {
	for i, %[3]s := range %[2]s {
		if %[3]s%%2 == 0 {
			even += %[3]s * i
			texts = append(texts, strconv.Itoa(%[3]s))
		} else {
			odd += %[3]s - i
			texts = append(texts, strconv.Itoa(-%[3]s))
		}
		switch {
		case %[3]s > 100:
			sum += %[3]s
		case %[3]s < -100:
			sum -= %[3]s
		}
	}
	for i, text := range texts {
		if len(text) > 2 {
			sum += i * len(text)
			texts[i] = text[:2] + strconv.Itoa(len(text))
		}
	}
	return even, odd, sum + even + odd, texts
}
`

var files = []file{
	// Imports.
	{"dcb.go", doc("dcb") + imports("context", module+"/internal/model", "github.com/jackc/pgx/v5"), []string{"7 depguard", "9 depguard"}},
	{"memstore/memstore.go", doc("memstore") + imports("testing", module, module+"/diskstore"), []string{"5 depguard", "8 depguard"}},
	{"memstore/memstore_test.go", "package memstore_test\n" + imports("testing", module+"/stores", "github.com/jackc/pgx/v5"), nil},
	{"diskstore/diskstore.go", doc("diskstore") + imports(module, module+"/internal/group"), nil},
	{"auth/auth.go", doc("auth") + imports(module, module+"/internal/model"), []string{"6 depguard"}},
	{"dcbnet/dcbnet.go", doc("dcbnet") + imports(module+"/auth", module+"/umadb"), []string{"6 depguard"}},
	{"dcbnet/dcbnet_test.go", "package dcbnet\n" + imports(module+"/memstore", module+"/umadb"), []string{"5 depguard"}},
	{"umadb/umadb.go", doc("umadb") + imports(module+"/auth", module+"/internal/pgtest"), []string{"6 depguard"}},
	{"stores/stores.go", doc("stores") + imports(module+"/dcbnet", module+"/memstore", module+"/umadb"), nil},
	{"internal/group/group.go", doc("group") + imports(module, module+"/auth"), []string{"6 depguard"}},
	{"internal/model/model.go", doc("model"), nil},
	{"internal/pgtest/pgtest.go", doc("pgtest") + imports("testing"), nil},
	{"examples/first/first.go", doc("first") + imports(module+"/stores", module+"/internal/group"), []string{"5 depguard"}},
	{"cmd/dcbstore/main.go", "// Dcbstore is a case.\npackage main\n" + imports(module+"/examples/first", module+"/stores") + "\nfunc main() {}\n", []string{"5 depguard"}},
	{"util/util.go", doc("util") + imports(module), []string{"5 depguard"}},

	// Comments.
	{
		"decide/decide.go", doc("decide") + "\n" +
			"// " + strings.Repeat("x ", 47) + "100\n\n" +
			"// " + strings.Repeat("x ", 47) + "101!\n\n" +
			"var code, more = \"" + strings.Repeat("x ", 48) + "xxxx\", 1 // a comment that is not on a line of its own\n\n" +
			"//go:generate echo" + strings.Repeat(" x", 48) + "\n\n" +
			"// https://" + strings.Repeat("x", 100) + "\n\n" +
			"// TO" + "DO: later\n\n// TO" + "DO(#12): later\n",
		[]string{"6 lll", "8 unused", "14 godox"},
	},
	{
		"decide/decidetest/decidetest.go", doc("decidetest") + `
func Undocumented() {}

// Is about something else.
func Misnamed() {}

// Named has a doc comment.
type Named interface {
	Method()
}
`,
		[]string{"1 godoclint", "4 revive", "6 revive", "11 revive"},
	},
	{"decide/decidetest/second.go", doc("decidetest"), []string{"1 godoclint"}},
	{"dcbhttp/dcbhttp.go", "package dcbhttp\n", []string{"1 revive"}},
	{"dcbtest/long.go", doc("dcbtest") + strings.Repeat("\n// x\n", 300), []string{"602 revive"}},

	// Code.
	{
		"decide/errors.go", `package decide

import (
	"errors"
	"io/fs"
)

// IsPathError is a case.
func IsPathError(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path)
}
`,
		[]string{"11 forbidigo"},
	},
	{
		"decide/skip_test.go", `package decide

import "testing"

func TestSkips(t *testing.T) {
	t.Skip("no server")
}
`,
		[]string{"6 forbidigo"},
	},
	{
		"decide/clones.go", "package decide\n\nimport \"strconv\"\n" + fmt.Sprintf(clone, "first", "list", "x") + fmt.Sprintf(clone, "second", "rows", "y") +
			"\nvar _, _ = first, second\n",
		[]string{"5 dupl", "30 dupl"},
	},
}

func TestLintersFindEachFault(t *testing.T) {
	t.Parallel()
	issues := lint(t)
	for _, f := range files {
		slices.Sort(f.want)
		got := issues[f.path]
		slices.Sort(got)
		if !slices.Equal(got, f.want) {
			t.Errorf("%s has the issues %q, want %q", f.path, got, f.want)
		}
		delete(issues, f.path)
	}
	for path, got := range issues {
		t.Errorf("%s has the issues %q, want none", path, got)
	}
}

// lint writes the files, and returns the issues of each as "line linter".
func lint(t *testing.T) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	const pgx = "github.com/jackc/pgx/v5"
	write(t, dir, "go.mod", fmt.Sprintf("module %s\n\ngo 1.26.0\n\nrequire %[2]s v5.0.0\n\nreplace %[2]s => ./stub\n", module, pgx))
	write(t, dir, "stub/go.mod", "module "+pgx+"\n")
	write(t, dir, "stub/pgx.go", doc("pgx"))
	for _, f := range files {
		write(t, dir, f.path, f.content)
	}
	config, err := os.ReadFile("../../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, ".golangci.yml", string(config))
	modfile, err := filepath.Abs("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "tool", "-modfile="+modfile, "golangci-lint", "run", "--output.json.path=stdout", "--show-stats=false")
	cmd.Dir = dir
	out, err := cmd.Output()
	const issuesFound = 1
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != issuesFound) {
		t.Fatalf("golangci-lint: %v: %s%s", err, out, exit.Stderr)
	}
	var report struct {
		Issues []struct {
			FromLinter string
			Text       string
			Pos        struct {
				Filename string
				Line     int
			}
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("golangci-lint printed %s: %v", out, err)
	}
	issues := make(map[string][]string)
	for _, issue := range report.Issues {
		t.Logf("%s:%d: %s: %s", issue.Pos.Filename, issue.Pos.Line, issue.FromLinter, issue.Text)
		issues[issue.Pos.Filename] = append(issues[issue.Pos.Filename], fmt.Sprintf("%d %s", issue.Pos.Line, issue.FromLinter))
	}
	return issues
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
