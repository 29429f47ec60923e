# Each target is a command that could as well be typed. CI runs the same ones.

GO      ?= go
LINT    ?= golangci-lint
FUZZTIME ?= 10s
BENCH   ?=
BENCH_DAEMON ?=

.PHONY: help build test race lint fuzz bench

help: ## what there is to make
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 8

build: ## the gaffer binary, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/gaffer

test: ## all tests
	$(GO) test ./...

race: ## all tests with the race detector
	$(GO) test -race ./...

lint: ## gofmt, vet and golangci-lint
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) vet ./...
	$(LINT) run

# Each package is built once; go test -fuzz would link it anew for each target.
fuzz: ## every parser with random input, FUZZTIME each
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; corpus=$$($(GO) env GOCACHE)/fuzz; \
	for folder in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n 1 dirname | sort -u); do \
		$(GO) test -c -fuzz . -o "$$dir/fuzz.test" $$folder; \
		for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$folder/*_test.go | cut -d' ' -f2); do \
			echo "$$folder $$target"; \
			(cd $$folder && "$$dir/fuzz.test" -test.run '^$$' -test.fuzz "^$$target\$$" -test.fuzztime $(FUZZTIME) \
				-test.fuzzcachedir "$$corpus/$$($(GO) list .)"); \
		done; \
	done

bench: ## speed and size of gaffer up and of the daemon; BENCH='-rounds 5' and BENCH_DAEMON add flags
	$(GO) run ./bench $(BENCH)
	$(GO) run ./bench/daemon $(BENCH_DAEMON)
