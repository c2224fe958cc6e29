package main

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// A case has all problems that its repository has. Cases without problems show what refcheck
// accepts.
func TestCheckFindsBrokenReferences(t *testing.T) {
	t.Parallel()
	const store = "// Package dcb is a case.\npackage dcb\n\nimport (\n\"io/fs\"\n\"net/http\"\n)\n\n// Store is an interface.\ntype Store interface{ Append() }\n\n" +
		"// Event is a struct.\ntype Event struct{ Type string }\n\nfunc appendAll() {}\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{
			name: "links of pages",
			files: map[string]string{
				"README.md":    "[a](docs/gone.md)\n[b](docs/here.md#nothing) [c](#missing)\n\n[d]: ../outside\n",
				"docs/here.md": "# Here\n",
			},
			want: []string{
				"README.md:1: the link to docs/gone.md is broken",
				"README.md:2: the link to #missing is broken",
				"README.md:2: the link to docs/here.md#nothing is broken",
				"README.md:4: the link to ../outside is broken",
			},
		},
		{
			name: "links that are right, and text that only looks like one",
			files: map[string]string{
				"README.md": "# Reading the source: `dcb`\n[a](docs/here.md \"title\") [b](docs/here.md#two-words) [c](docs) " +
					"[e](#reading-the-source-dcb) [f](https://dcb.events) `m[k](gone)`\n```go\nm[k](gone)\n# Not a heading\n```\n",
				"docs/here.md": "## Two words\n[up](../README.md)\n",
			},
		},
		{
			name: "paths in code of pages",
			files: map[string]string{
				"docs/page.md": "`internal/frame`, `disk/internal/frame`, `disk/gone`, `frame.go`, `gone.go`, `docs/page.md`, `page.md`\n" +
					"`encoding/json`, `linux/amd64`, `application/json`, `GET /events`, `disk/internal/frame/frame.go`, `disk/frame.go`\n",
				"disk/internal/frame/frame.go": "package frame\n",
			},
			want: []string{
				"docs/page.md:1: there is no directory or file disk/gone",
				"docs/page.md:1: there is no directory or file internal/frame",
				"docs/page.md:1: there is no file gone.go",
				"docs/page.md:2: there is no file disk/frame.go",
			},
		},
		{
			name: "names in code of pages",
			files: map[string]string{
				"dcb.go": store,
				"page.md": "`dcb.Store`, `dcb.View`, `Store.Append`, `Store.Gone`, `Event.Type`, `appendAll`, `appendNone`, `(*Event).Type`\n" +
					"`http.Request`, `vanished.Name`, `dcb.Event{Type: \"x\"}`, `buildModel`\n<!-- foreign: buildModel -->\n",
			},
			want: []string{
				"page.md:1: no code has the name appendNone",
				"page.md:1: no type Store has a member Gone",
				"page.md:1: package dcb has no View",
				"page.md:2: there is no package vanished",
			},
		},
		{
			name: "commands in pages",
			files: map[string]string{
				"Makefile": "build: deps\n\tgo build\n", "disk/a.go": "package disk\n", "tools/refs/a.go": "package refs\n",
				"page.md": "`make build`, `make peace`\n```\ngo test -run X ./disk/...\ngo test ./gone\ngo -C tools run ./refs ..\n```\n",
			},
			want: []string{
				"page.md:1: make has no target peace",
				"page.md:4: the command names the directory ./gone, which does not exist",
			},
		},
		{
			name: "doc links",
			files: map[string]string{
				"dcb.go": store,
				"disk/a.go": "// Package disk has [Open], [Gone], [dcb.Store], [dcb.Store.Append], [dcb.View], [dcb.Store.Read] and [fs.FS].\n" +
					"// A list[Type], an argument [NAME], [github.com/dcbstore/dcb.Store] is not checked, [github.com/dcbstore/dcb/gone] is.\n" +
					"//\n//\t[Code] is not\npackage disk\n\nimport \"github.com/dcbstore/dcb\"\n\n// Open opens.\nfunc Open() dcb.Store { return nil }\n",
			},
			want: []string{
				"disk/a.go:1: package dcb has no Store.Read",
				"disk/a.go:1: package dcb has no View",
				"disk/a.go:1: the doc link [Gone] is broken",
				"disk/a.go:2: the doc link [github.com/dcbstore/dcb/gone] is broken",
			},
		},
		{
			name: "files, paths and names in comments",
			files: map[string]string{
				"dcb.go": store,
				"disk/a.go": "// Package disk: start at a.go, session.go, b*.go, docs/page.md or docs/gone.md, then internal/gone.\n" +
					"// It calls dcb.Event, dcb.View and s.Close.\npackage disk\n\nfunc open(s interface{ Close() }) {}\n",
				"disk/b_unix.go": "package disk\n",
				"docs/page.md":   "",
			},
			want: []string{
				"disk/a.go:1: there is no directory or file internal/gone",
				"disk/a.go:1: there is no file docs/gone.md here or from the root",
				"disk/a.go:1: there is no file session.go here or from the root",
				"disk/a.go:2: package dcb has no View",
			},
		},
		{
			name: "doc comments with another name",
			files: map[string]string{
				"a.go": "package a\n\n// secured reports what is missing.\nfunc missing() {}\n\n// missing is right.\nfunc open() {}\n\n" +
					"// It is a sentence.\nfunc close() {}\n\n// damage FILE OFFSET is a usage.\nfunc damageFile() {}\n\n// old is a type.\ntype new int\n",
			},
			want: []string{
				"a.go:15: the doc comment of new begins with old",
				"a.go:3: the doc comment of missing begins with secured",
				"a.go:6: the doc comment of open begins with missing",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := fstest.MapFS{}
			for name, content := range c.files {
				root[name] = &fstest.MapFile{Data: []byte(content)}
			}
			problems, err := Check(root)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("Check =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestCheckFailsOnCodeThatDoesNotParse(t *testing.T) {
	t.Parallel()
	if _, err := Check(fstest.MapFS{"a.go": {Data: []byte("package")}}); err == nil {
		t.Error("Check = nil, want a syntax error")
	}
}
