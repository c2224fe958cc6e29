package tidy

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// room is a directory with all below it that is not a room itself. Its code may import the standard library, its own
// packages, the root, and what is listed here.
type room struct {
	dir     string
	rooms   []string // further rooms; every means all of them
	modules []string // modules that are not ours
	tests   []string // further rooms for its tests: the stores that it is tried on
	forTest bool     // only tests and other such rooms may import it; in exchange it may import testing
}

const (
	every    = "*"
	internal = "internal" // every room below that is not for tests
	uuid     = "github.com/google/uuid"
	pgx      = "github.com/jackc/pgx/v5"
	json     = "github.com/go-json-experiment/json"
)

// rooms is the plan of the house: the rooms import the root and never each other, except those whose work it is to join
// them. What is not in it may not be built.
var rooms = []room{
	{dir: ".", modules: []string{uuid}},
	{dir: "memstore", rooms: []string{internal}, modules: []string{uuid}},
	{dir: "diskstore", rooms: []string{internal}, modules: []string{uuid, "github.com/cespare/xxhash/v2"}},
	{dir: "pgstore", rooms: []string{internal}, modules: []string{uuid, pgx}},
	{dir: "auth"},
	{dir: "dcbnet", rooms: []string{internal, "auth"}, tests: []string{"diskstore", "pgstore"}, modules: []string{
		uuid, "google.golang.org/protobuf",
	}},
	{dir: "umadb", rooms: []string{internal, "auth"}, tests: []string{"diskstore", "pgstore"}, modules: []string{
		uuid, "google.golang.org/grpc", "google.golang.org/protobuf",
	}},
	{dir: "dcbhttp", rooms: []string{internal, "auth"}, tests: []string{"diskstore", "pgstore"}, modules: []string{uuid}},
	{dir: "decide", rooms: []string{internal}, tests: []string{"internal/kinds"}, modules: []string{uuid, json}},
	{dir: "decide/decidetest", rooms: []string{"decide", "memstore"}, forTest: true},
	// The kit is for everybody's stores, and brings nothing along.
	{dir: "dcbtest", rooms: []string{"internal/model"}, modules: []string{uuid}, forTest: true},
	{dir: "stores", rooms: []string{every}, modules: []string{uuid, pgx}},
	{dir: "examples", rooms: []string{every}, modules: []string{uuid}},
	{dir: "cmd", rooms: []string{every}, modules: []string{
		uuid, json, "github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/HdrHistogram/hdrhistogram-go",
		"github.com/prometheus/client_golang", "go.opentelemetry.io/otel",
		// The handlers that make a span of each call, and what they are handed to.
		"go.opentelemetry.io/contrib/instrumentation", "google.golang.org/grpc",
	}},
	{dir: "internal", rooms: []string{internal}, modules: []string{uuid}},
	{dir: "internal/eventjson", modules: []string{uuid, json}},
	{dir: "internal/protofield", modules: []string{"google.golang.org/protobuf"}},
	{dir: "internal/wire", rooms: []string{"auth"}},
	{dir: "internal/vfs", modules: []string{"golang.org/x/sys"}},
	{dir: "internal/model", modules: []string{uuid}},
	{dir: "internal/modeltest", rooms: []string{"internal/model"}, forTest: true, modules: []string{
		uuid, "github.com/google/go-cmp", "pgregory.net/rapid",
	}},
	{dir: "internal/kinds", rooms: []string{every}, forTest: true},
	{dir: "internal/pgtest", modules: []string{pgx}, forTest: true},
	{dir: "internal/race", forTest: true},
	{dir: "internal/tidy", forTest: true},
}

// forTests is what the tests of every room may import as well.
var forTests = room{
	rooms: []string{internal, "memstore", "dcbtest", "internal/pgtest", "internal/modeltest", "internal/race", "decide/decidetest"},
	modules: []string{
		uuid, pgx, json,
		"github.com/google/go-cmp", "github.com/rogpeppe/go-internal", "pgregory.net/rapid", "github.com/anishathalye/porcupine",
	},
}

// imports reports what no room of that kind may import.
func imports(h *house) []Problem {
	var problems []Problem
	for _, c := range h.code {
		if c.dir() == "tools" || strings.HasPrefix(c.dir(), "tools/") {
			continue // a module of its own
		}
		here, ok := roomOf(c.dir())
		if !ok {
			problems = append(problems, Problem{File: c.path, Text: c.dir() + " is no room of internal/tidy/rooms.go"})
			continue
		}
		for _, spec := range c.syntax.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil || here.mayImport(target, c.test) {
				continue
			}
			problems = append(problems, Problem{
				File: c.path, Line: h.line(spec),
				Text: fmt.Sprintf("room %q may not import %s (see internal/tidy/rooms.go)", here.dir, target),
			})
		}
	}
	return problems
}

// roomOf returns the innermost room around dir.
func roomOf(dir string) (room, bool) {
	for ; ; dir = path.Dir(dir) {
		at := slices.IndexFunc(rooms, func(r room) bool { return r.dir == dir })
		if at >= 0 {
			return rooms[at], true
		}
		if path.Dir(dir) == "." {
			return room{}, false
		}
	}
}

func (r room) mayImport(target string, test bool) bool {
	if target == "testing" || strings.HasPrefix(target, "testing/") {
		return test || r.forTest
	}
	if first, _, _ := strings.Cut(target, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	ours, ok := within(target, module)
	if !ok {
		return r.knows(target) || test && forTests.knows(target)
	}
	there, ok := roomOf(ours)
	if !ok {
		return false
	}
	return there.dir == r.dir || there.dir == "." || r.enters(there) && (test || r.forTest || !there.forTest) ||
		test && (forTests.enters(there) || slices.Contains(r.tests, there.dir))
}

func (r room) knows(target string) bool {
	return slices.ContainsFunc(r.modules, func(known string) bool { _, ok := within(target, known); return ok })
}

func (r room) enters(there room) bool {
	_, isInternal := within(there.dir, internal)
	return slices.Contains(r.rooms, every) || slices.Contains(r.rooms, there.dir) ||
		isInternal && !there.forTest && slices.Contains(r.rooms, internal)
}

// within returns the path of target below top ("." for top itself), and whether it is there at all.
func within(target, top string) (string, bool) {
	if target == top {
		return ".", true
	}
	return strings.CutPrefix(target, top+"/")
}
