// Package linttest shows that .golangci.yml finds what it should: imports that the architecture
// does not allow, wide comments, missing documentation and skipped tests. Its test lints a module
// of small files with the configuration of the project.
package linttest
