# Parley. `make` alone lists what there is to do. CI runs these targets and nothing else.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# What a shell has set must not change what is built and tested. All but the tests are built alike, so
# that vet, linters and programs share what is compiled.
export GOWORK      := $(CURDIR)/go.work
export GOFLAGS     := -buildvcs=false -trimpath
export CGO_ENABLED := 0

GO      ?= go
MODULES := $(shell sed -n 's|^[[:space:]]*\./\([^[:space:]]*\).*|\1|p' go.work)
BIN     := $(CURDIR)/bin
PROGRAMS := ./chat-service/cmd/chat-service ./ws-server/cmd/ws-server ./sync-service/cmd/sync-service \
            ./shared-migrations/cmd/migrate ./standalone/cmd/standalone ./standalone/cmd/demo \
            ./standalone/cmd/parley-probe ./client/cmd/parley-chat ./client/cmd/echo-bot

# Where the source is a git checkout that git can read, the binaries say which commit they are.
VCS := $(if $(shell git rev-parse --verify --quiet HEAD 2>/dev/null),true,false)

# The page is built by Node.js; tools/node may have put one there.
WEB := web-client
export PATH := $(CURDIR)/.tools/node/node_modules/.bin:$(PATH)
WEB_FILES = $(shell find $(WEB) \( -name node_modules -o -name dist \) -prune -o -type f ! -name '*.go' ! -name '*.md' -print)

# The tools are built once for a version of them and of Go.
TOOLS := $(CURDIR)/.tools/$(shell { cat tools/go.mod tools/go.sum; $(GO) version; } | cksum | cut -d' ' -f1)
LINT  := $(TOOLS)/golangci-lint
FUMPT := $(TOOLS)/gofumpt
SUM   := $(TOOLS)/gotestsum
OAPI  := $(TOOLS)/oapi-codegen
BUILT := $(TOOLS)/.built

# Only make k6 needs it, so it is not among them.
K6_VERSION := v1.8.1
K6 := $(CURDIR)/.tools/k6-$(K6_VERSION)/k6

# Settings of the tests: make test TESTFLAGS='-run TestX', FUZZTIME=1m, TIMEOUT=20m; of make bench: BENCHFLAGS='--only pipeline'. A count of runs, since a
# time lets go test fail when it is over though nothing was found (golang.org/issue/75804).
TESTFLAGS ?=
BENCHFLAGS ?=
FUZZTIME  ?= 10000x
TIMEOUT   ?= 40m
GOTEST     = CGO_ENABLED=1 GOFLAGS=-buildvcs=false PARLEY_BIN_DIR=$(BIN) $(SUM) --format pkgname --format-hide-empty-pkg -- \
             -race -shuffle=on -timeout $(TIMEOUT) $(TESTFLAGS)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##### Run

.PHONY: run
run: page ## run everything on http://localhost:8080; gets PostgreSQL, Redis and Node.js if they are missing
	@$(MAKE) --no-print-directory build
	@exec $(BIN)/standalone

.PHONY: demo
demo: build ## play a conversation of 1,000 messages and check what PostgreSQL holds
	@exec $(BIN)/demo

.PHONY: up
up: ## run everything in containers on http://localhost:8080
	PARLEY_VERSION="$$(git describe --tags --always --dirty 2>/dev/null || echo '(devel)')" \
	PARLEY_REVISION="$$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
	docker compose up --build --detach --wait

.PHONY: down
down: ## stop the containers; their data stays
	docker compose down

##### Build

.PHONY: web
web: ## build the page, which the programs hold when they are built after it; gets Node.js if it is missing
	@tools/node
	@$(MAKE) --no-print-directory $(WEB)/dist/index.html.br

# Without a network there is no page, and everything else.
.PHONY: page
page:
	@$(MAKE) --no-print-directory web || echo "The page is not built, or is the one from before; everything else runs."

# Vite empties the folder; what is packed is made last.
$(WEB)/dist/index.html.br: $(WEB_FILES) $(WEB)/node_modules/.package-lock.json
	cd $(WEB) && npm run build && node compress.mjs
	@touch $(WEB)/dist/.gitkeep $@

# npm writes this file when it has installed everything.
%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci --no-audit --no-fund
	@touch $@

.PHONY: build
build: ## build the programs into bin/
	@mkdir -p $(BIN)
	$(GO) build -buildvcs=$(VCS) -ldflags '-s -w' -o $(BIN)/ $(PROGRAMS)

.PHONY: build-alone
build-alone: ## build each module without the workspace, as an image or another repository would
	@for m in $(MODULES); do echo "build $$m alone"; (cd $$m && GOWORK=off $(GO) build -o /dev/null ./...) || exit 1; done

.PHONY: tidy
tidy: ## tidy every go.mod
	@for m in $(MODULES) tools; do (cd $$m && GOWORK=off $(GO) mod tidy) || exit 1; done

.PHONY: check-tidy
check-tidy:
	@for m in $(MODULES) tools; do (cd $$m && GOWORK=off $(GO) mod tidy -diff) || { echo "$$m: go.mod is not tidy: make tidy"; exit 1; }; done

# The service serves the document too, and go:embed does not reach out of its module: hence the copy.
# The generator knows no JSON without HTML escapes: hence sed.
.PHONY: generate
generate: $(BUILT) ## make the REST server's types and interface of docs/openapi.yaml
	cp docs/openapi.yaml chat-service/internal/api/openapi.yaml
	cd chat-service/internal/api && $(OAPI) -config config.yaml -o api.gen.go openapi.yaml
	sed -i.bak 's/json\.NewEncoder(&buf)\.Encode(/encode(\&buf, /' chat-service/internal/api/api.gen.go && rm chat-service/internal/api/api.gen.go.bak
	$(FUMPT) -w chat-service/internal/api/api.gen.go

##### Check

.PHONY: test
test: ## get what is needed and check everything: format, vet, lint, builds, tests, e2e
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory web
	@$(MAKE) --no-print-directory check-tidy check-fmt vet lint build build-alone
	@$(MAKE) --no-print-directory web-test
	$(GOTEST) work

.PHONY: unit
unit: deps build ## run the tests of one module or of all but e2e: make unit M=ws-server
	$(GOTEST) $(if $(M),./$(M)/...,$(patsubst %,./%/...,$(filter-out e2e,$(MODULES))))

.PHONY: web-test
web-test: web $(WEB)/sdk/node_modules/.package-lock.json ## check and test the page and the JavaScript SDK
	@for d in $(WEB)/sdk $(WEB); do echo "test $$d"; (cd $$d && npm run --silent check && PARLEY_BIN_DIR=$(BIN) npm run --silent test) || exit 1; done

.PHONY: e2e
e2e: deps web ## run the journeys and faults against the built programs, the page in Chromium among them
	@$(MAKE) --no-print-directory build
	$(GOTEST) ./e2e/...

.PHONY: fuzz
fuzz: ## look for new inputs with every fuzz target for FUZZTIME (10000x); make test only repeats the known ones
	@grep -rnoE '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' --exclude-dir=node_modules $(MODULES) | while IFS=: read -r file _ func; do \
		name=$${func#func }; echo "fuzz ./$${file%/*} $$name"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$${file%/*}" || exit 1; \
	done

.PHONY: bench
bench: deps ## measure everything beside its floors; writes docs/benchmarks.md (40 minutes, on a quiet machine)
	$(GO) run ./loadtest/cmd/loadtest bench $(BENCHFLAGS)

# Settings: make k6 K6_SCRIPT=delivery K6FLAGS='--duration 1m --members 50'
K6_SCRIPT ?= company
.PHONY: k6
k6: deps $(K6) ## run a script of k6 against all of Parley: K6_SCRIPT=company or delivery
	$(GO) run ./loadtest/cmd/loadtest k6 --program $(K6) $(K6FLAGS) loadtest/k6/$(K6_SCRIPT).js

$(K6):
	@echo "Building k6 $(K6_VERSION) (once; some minutes on a cold cache)."
	@mkdir -p $(dir $@)
	@GOWORK=off GOBIN=$(dir $@) $(GO) install go.k6.io/k6@$(K6_VERSION)

.PHONY: microbench
microbench: deps ## run the Go benchmarks of one module or of all: make microbench M=ws-server
	$(GO) test -run '^$$' -bench . -benchmem $(if $(M),./$(M)/...,work)

.PHONY: vet
vet: ## run go vet
	$(GO) vet work

.PHONY: lint
lint: $(BUILT) ## run the linters, import rules among them
	$(LINT) run $(patsubst %,./%/...,$(MODULES))

.PHONY: fmt
fmt: $(BUILT) ## format the source
	$(FUMPT) -w $(MODULES)

.PHONY: check-fmt
check-fmt: $(BUILT)
	@bad=$$($(FUMPT) -l $(MODULES)) && [ -z "$$bad" ] || { echo "not formatted (make fmt):"; echo "$$bad"; exit 1; }

# The servers come from the product's own installer; the race detector needs a C compiler on Linux, the
# alert rules promtool, the page a browser, and the proxy's configuration an nginx. What is tested behind a
# pooler needs a PgBouncer and is skipped without one.
.PHONY: deps
deps: $(BUILT)
	@tools/nginx
	@command -v $${CC:-cc} >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || { \
		command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends gcc libc6-dev; \
	} || { echo "The race detector needs a C compiler: install gcc or clang."; exit 1; }
	@$(GO) run ./internal/localserver/ensure
	@command -v promtool >/dev/null 2>&1 || { \
		command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends prometheus; \
	} || { echo "The alert rules are tested by promtool: install Prometheus (Debian: prometheus)."; exit 1; }
	@command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || { \
		command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends pgbouncer; \
	} || echo "Tests behind a pooler are skipped: they need PgBouncer (Debian: pgbouncer)."
	@command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || \
		[ -n "$$CHROMIUM" ] || [ -d "/Applications/Google Chrome.app" ] || [ -d /Applications/Chromium.app ] || { \
		command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium; \
	} || { echo "The page is tested in Chromium: install it (Debian: chromium), or say with CHROMIUM where it is."; exit 1; }

$(BUILT):
	@echo "Building the tools (once for their versions; some minutes on a cold cache)."
	@mkdir -p $(TOOLS)
	@cd tools && GOWORK=off $(GO) build -o $(TOOLS)/ tool
	@touch $@

.PHONY: clean
clean: ## remove what was built; data of make run stays in .data
	rm -rf $(BIN) .tools coverage.out $(WEB)/dist $(WEB)/node_modules $(WEB)/sdk/node_modules
	mkdir $(WEB)/dist && touch $(WEB)/dist/.gitkeep
