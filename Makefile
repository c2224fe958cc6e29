# The commands of development. `make` lists them. CI runs `make check`.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help speedrun check postgres python build vet lint prose cross tidy test crash bench cover dist dist-all fmt clean

# The tools are pinned in a module of their own, and compiled the first time that they run.
golangci := go tool -modfile=tools/go.mod golangci-lint
vale := go tool -modfile=tools/go.mod vale
skipcheck := go -C tools run ./skipcheck

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

speedrun: ## run the course-subscription speedrun and print its report (ARGS="--duration 30s …")
	@echo "compiling; the first time takes a minute"
	@go build -o bin/dcbstore ./cmd/dcbstore
	@bin/dcbstore speedrun $(ARGS)
	@printf '\n%s\n' "Try next:" \
		"  make speedrun ARGS='--store mem:'           the same in memory" \
		"  bin/dcbstore bench append --clients 64      other workloads: bin/dcbstore bench --help" \
		"  bin/dcbstore serve                          a server on the events of this run" \
		"  docs/guide.md                               write your own application"

check: postgres python build vet lint prose cross tidy test ## everything that CI checks

postgres: ## install PostgreSQL and PgBouncer if they are missing (as root, on Debian and Ubuntu)
	@bash .ci/install $$(go run ./internal/pgtest/pgtest missing)

python: ## create the virtual environment of the Python clients that test our servers
	@bash .ci/python >/dev/null || { bash .ci/install python3 python3-venv && bash .ci/python >/dev/null; }

build: ## compile everything
	go build ./...

vet: ## run go vet
	go vet ./...
	go -C tools vet ./...
	go -C tools/compare vet ./...

lint: ## run the linters of .golangci.yml, and those of tools: references, rules, paths of a machine
	$(golangci) run
	cd tools && go tool golangci-lint run
	cd tools/compare && go tool -modfile=../go.mod golangci-lint run
	go -C tools test ./...
	go -C tools/compare test ./...
	go -C tools run ./refcheck ..
	go -C tools run ./rulecheck ..
	@! git grep -nE '(^|[^[:alnum:]_.-])/(home|root|Users|work)/[[:alnum:]_]' -- . ':!Makefile' \
		|| { echo "the lines above have paths of somebody's machine" >&2; exit 1; }

prose: ## check the English of comments, pages and commit subjects with Vale (PATHS="dir file" checks only these)
	$(vale) test .vale
	$(vale) $(or $(PATHS),.)
	$(if $(PATHS),,bash .ci/subjects)

cross: ## run go vet for the other systems
	GOOS=darwin go vet ./...
	GOOS=windows go vet ./...

tidy: ## bring go.mod and generated code up to date; fails if they were not
	@before=$$(git status --porcelain; git diff); \
	set -x; go generate ./...; go mod tidy; go -C tools mod tidy; go -C tools/compare mod tidy; set +x; \
	[ "$$before" == "$$(git status --porcelain; git diff)" ] || { git status --short; echo "the files above were not up to date" >&2; exit 1; }

test: ## run all tests with the race detector; large cases run without it; a skipped test is a failure
	go test -json -run KeepsTheContract ./dcbnet ./umadb ./dcbhttp ./pgstore | $(skipcheck)
	go test -race -timeout 60m -json ./... | $(skipcheck)

crash: ## crash the store in a directory 100,000 times in memory, and kill its process 1,000 times
	DCB_CRASHES=100000 DCB_KILLS=1000 go test -count 1 -v -timeout 3h -run 'AfterCrash|AfterKill|SurvivesFaults' ./diskstore

bench: ## run all benchmarks six times, for benchstat
	go test -run '^$$' -bench . -benchmem -count 6 ./...

cover: ## run all tests and print the coverage
	go test -coverpkg ./... -coverprofile cover.out ./...
	@go tool cover -func cover.out | tail -n 1

# The version is the last tag and the commits since. The date is the commit's, so that one commit always
# gives the same bytes.
dist: platforms = $(shell go env GOOS)/$(shell go env GOARCH)
dist-all: platforms = linux/amd64 linux/arm64 darwin/arm64 darwin/amd64 windows/amd64

dist: ## build a static binary of the command for this machine in dist/, with version and checksum
dist-all: ## the same for all systems
dist dist-all:
	@version=$$(git describe --tags --always --dirty --match 'v*'); commit=$$(git rev-parse HEAD); \
	date=$$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ); \
	rm -rf dist; mkdir dist; \
	for platform in $(platforms); do \
		name=dcbstore-$$version-$${platform/\//-}; [ $${platform%/*} != windows ] || name+=.exe; \
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} GOFLAGS= go build -trimpath -buildvcs=false \
			-ldflags "-s -w -buildid= -X main.stampedVersion=$$version -X main.stampedCommit=$$commit -X main.stampedDate=$$date" \
			-o dist/$$name ./cmd/dcbstore; \
		echo dist/$$name; \
	done; \
	cd dist; sha256sum dcbstore-* >SHA256SUMS

fmt: ## format all Go code
	$(golangci) fmt

clean: ## remove the files that other targets made
	rm -rf bin dist dcb-data cover.out
