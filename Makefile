# The commands of development. `make` lists them. CI runs `make check` and nothing else.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help speedrun check postgres build vet lint cross tidy test crash bench cover fmt clean

golangci := go tool -modfile=tools/go.mod golangci-lint

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

speedrun: ## run the course-subscription speedrun and print its report (ARGS="--duration 10s …")
	@go run ./cmd/dcb speedrun $(ARGS)

check: postgres build vet lint cross tidy test ## everything that CI checks

postgres: ## install PostgreSQL and PgBouncer if they are missing and may be installed
	@bash .ci/install $$(go run ./internal/pgtest/pgtest missing)

build: ## compile everything
	go build ./...

vet: ## look for mistakes, with go vet
	go vet ./...

lint: ## look for more of them, and at the format, with staticcheck, gofumpt and others (.golangci.yml)
	$(golangci) run

cross: ## compile, and vet, for the other systems
	GOOS=darwin go vet ./...
	GOOS=windows go vet ./...

tidy: ## bring go.mod and generated code up to date; fails if they were not
	@before=$$(git status --porcelain; git diff); \
	set -x; go generate ./...; go mod tidy; set +x; \
	[ "$$before" == "$$(git status --porcelain; git diff)" ] || { git status --short; echo "the files above were not up to date" >&2; exit 1; }

test: ## run all tests, with the race detector; one that is skipped counts as failed
	go test -race -json ./... | go run ./internal/tidy/noskip

crash: ## crash the store in a directory a hundred thousand times in memory, and kill it a thousand times
	DCB_CRASHES=100000 DCB_KILLS=1000 go test -count 1 -v -timeout 3h -run 'Whatever' ./diskstore

bench: ## run all benchmarks, six times each: for benchstat
	go test -run '^$$' -bench . -benchmem -count 6 ./...

cover: ## run all tests and print how much of the code they cover
	go test -coverpkg ./... -coverprofile cover.out ./...
	@go tool cover -func cover.out | tail -n 1

fmt: ## format everything
	$(golangci) fmt

clean: ## remove what the other targets made
	rm -rf bin dcb-data cover.out
