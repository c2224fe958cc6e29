package pgtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// errNoBinaries says what to do about it, because that is all its reader wants to know.
var errNoBinaries = errors.New("pgtest: no PostgreSQL server is installed here (initdb and postgres)\n" +
	"hint: apt-get install postgresql, or set " + serverVariable + " to the URL of a server for tests")

// packageDirs are where the packages of the usual systems put the binaries, which is not in PATH.
var packageDirs = []string{
	"/usr/lib/postgresql/*/bin",            // Debian, Ubuntu
	"/usr/pgsql-*/bin",                     // Red Hat
	"/opt/homebrew/opt/postgresql@*/bin",   // macOS on ARM
	"/usr/local/opt/postgresql@*/bin",      // macOS on Intel
	"/usr/libexec/postgresql*",             // Alpine
	"/Library/PostgreSQL/*/bin",            // macOS, the installer
	"/Applications/Postgres.app/*/*/*/bin", // macOS, Postgres.app
	"/usr/local/pgsql/bin",                 // built from source
	"/run/current-system/sw/bin",           // NixOS
}

// Missing returns the names of the Debian packages that tests need and that are not installed here.
func Missing() []string {
	var packages []string
	if _, err := findBinaries(os.Getenv("PATH"), packageDirs); err != nil {
		packages = append(packages, "postgresql")
	}
	if _, err := findPgBouncer(); err != nil {
		packages = append(packages, "pgbouncer")
	}
	return packages
}

// findBinaries returns the directory that has initdb and postgres: that in path, so that a user can choose the version, else
// the newest of those that the patterns find, else pg_config's.
func findBinaries(path string, patterns []string) (string, error) {
	candidates := filepath.SplitList(path)
	for _, pattern := range patterns {
		if found, err := filepath.Glob(pattern); err == nil {
			slices.SortFunc(found, newestFirst)
			candidates = append(candidates, found...)
		}
	}
	candidates = append(candidates, configured(candidates)...)
	for _, dir := range candidates {
		// initdb looks for its files beside the binary itself, not beside a link to it.
		initdb, err := filepath.EvalSymlinks(filepath.Join(dir, "initdb"))
		if err != nil {
			continue
		}
		if dir = filepath.Dir(initdb); isExecutable(filepath.Join(dir, "initdb")) && isExecutable(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", errNoBinaries
}

// configured asks the first pg_config there is where the server's binaries are. (It may be there without them.)
func configured(dirs []string) []string {
	for _, dir := range dirs {
		if out, err := exec.Command(filepath.Join(dir, "pg_config"), "--bindir").Output(); err == nil {
			return []string{strings.TrimSpace(string(out))}
		}
	}
	return nil
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

var number = regexp.MustCompile(`\d+`)

func newestFirst(a, b string) int { return version(b) - version(a) }

// version returns the last number in path, which for all the patterns is the release: 15, or 6 for the old 9.6.
func version(path string) int {
	numbers := number.FindAllString(path, -1)
	if len(numbers) == 0 {
		return 0
	}
	v, err := strconv.Atoi(numbers[len(numbers)-1])
	if err != nil {
		return 0
	}
	return v
}
