# The commands of development. `make` lists them. CI runs `make check` and nothing else.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help speedrun check postgres python build vet lint prose cross tidy test crash bench cover dist fmt clean

golangci := go tool -modfile=tools/go.mod golangci-lint
vale := go tool -modfile=tools/go.mod vale

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

speedrun: ## run the course-subscription speedrun and print its report (ARGS="--duration 10s …")
	@go run ./cmd/dcbstore speedrun $(ARGS)

check: postgres python build vet lint cross tidy test ## everything that CI checks

postgres: ## install PostgreSQL and PgBouncer if they are missing and may be installed
	@bash .ci/install $$(go run ./internal/pgtest/pgtest missing)

python: ## make the virtual environment of the clients in Python that our servers are tested with
	@bash .ci/python >/dev/null || { bash .ci/install python3 python3-venv && bash .ci/python >/dev/null; }

build: ## compile everything
	go build ./...

vet: ## look for mistakes, with go vet
	go vet ./...

# These linters are new, and not every package passes yet.
pending := depguard,exhaustive,fatcontext,forbidigo,funlen,lll,nolintlint,revive,staticcheck,unparam

lint: ## run the linters of .golangci.yml
	$(golangci) run --disable $(pending)
	cd tools && go tool golangci-lint run
	cd tools/compare && go tool -modfile=../go.mod golangci-lint run
	go -C tools test ./...

prose: ## check the English of comments, pages and commit subjects with Vale (PATHS="dir file" checks only these)
	$(vale) test .vale
	$(vale) $(or $(PATHS),.)
	$(if $(PATHS),,bash .ci/subjects)

cross: ## compile, and vet, for the other systems
	GOOS=darwin go vet ./...
	GOOS=windows go vet ./...

tidy: ## bring go.mod and generated code up to date; fails if they were not
	@before=$$(git status --porcelain; git diff); \
	set -x; go generate ./...; go mod tidy; set +x; \
	[ "$$before" == "$$(git status --porcelain; git diff)" ] || { git status --short; echo "the files above were not up to date" >&2; exit 1; }

test: ## run all tests, with the race detector, and what is too large for that without it; one that is skipped counts as failed
	go test -json -run KeepsTheContract ./dcbnet ./umadb ./dcbhttp ./pgstore | go run ./internal/tidy/noskip
	go test -race -timeout 60m -json ./... | go run ./internal/tidy/noskip

crash: ## crash the store in a directory a hundred thousand times in memory, and kill it a thousand times
	DCB_CRASHES=100000 DCB_KILLS=1000 go test -count 1 -v -timeout 3h -run 'AfterCrash|AfterKill|SurvivesFaults' ./diskstore

bench: ## run all benchmarks, six times each: for benchstat
	go test -run '^$$' -bench . -benchmem -count 6 ./...

cover: ## run all tests and print how much of the code they cover
	go test -coverpkg ./... -coverprofile cover.out ./...
	@go tool cover -func cover.out | tail -n 1

# The version is the tag, or what is behind the last one; the date is that of the commit, so that the same commit gives the same bytes.
platforms := linux/amd64 linux/arm64 darwin/arm64 darwin/amd64 windows/amd64

dist: ## build static binaries of the command for all systems into dist/, with the version stamped and checksums
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

fmt: ## format everything
	$(golangci) fmt

clean: ## remove what the other targets made
	rm -rf bin dist dcb-data cover.out
