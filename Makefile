# `make` without a target lists the targets. CI runs these targets and nothing else.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# These override the shell's environment, so that it cannot change what is built and tested. Everything except the
# tests uses the same flags, so vet, linters and programs share the build cache.
export GOWORK      := $(CURDIR)/go.work
export GOFLAGS     := -buildvcs=false -trimpath
export CGO_ENABLED := 0

GO      ?= go
MODULES := $(shell sed -n 's|^[[:space:]]*\./\([^[:space:]]*\).*|\1|p' go.work)
BIN     := $(CURDIR)/bin
PROGRAMS := ./chat-service/cmd/chat-service ./ws-server/cmd/ws-server ./sync-service/cmd/sync-service \
            ./shared-migrations/cmd/migrate ./standalone/cmd/standalone ./standalone/cmd/demo \
            ./standalone/cmd/parley-probe ./client/cmd/parley-chat ./client/cmd/echo-bot

# If the source is a readable git checkout, the binaries record their commit.
VCS := $(if $(shell git rev-parse --verify --quiet HEAD 2>/dev/null),true,false)

# Node.js builds the page; tools/node may have installed it into this folder.
WEB := web-client
export PATH := $(CURDIR)/.tools/node/node_modules/.bin:$(PATH)
WEB_FILES = $(shell find $(WEB) \( -name node_modules -o -name dist \) -prune -o -type f ! -name '*.go' ! -name '*.md' -print)

# The tools are built once per version of the tools and of Go.
TOOLS := $(CURDIR)/.tools/$(shell { cat tools/go.mod tools/go.sum; $(GO) version; } | cksum | cut -d' ' -f1)
LINT  := $(TOOLS)/golangci-lint
FUMPT := $(TOOLS)/gofumpt
SUM   := $(TOOLS)/gotestsum
OAPI  := $(TOOLS)/oapi-codegen
BUILT := $(TOOLS)/.built

# Only `make k6` needs k6, so it is not one of the tools above.
K6_VERSION := v1.8.1
K6 := $(CURDIR)/.tools/k6-$(K6_VERSION)/k6

# Settings: make test TESTFLAGS='-run TestX' TIMEOUT=20m; make fuzz FUZZTIME=1m; make bench BENCHFLAGS='--only pipeline'.
#
# FUZZTIME is a number of runs by default, because with a duration, go test can fail at the end although it found nothing
# (golang.org/issue/75804).
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
run: page ## run everything on http://localhost:8080; installs PostgreSQL, Redis and Node.js if missing
	@$(MAKE) --no-print-directory build
	@exec $(BIN)/standalone

.PHONY: demo
demo: build ## play a conversation of 1,000 messages and check what PostgreSQL stored
	@exec $(BIN)/demo

.PHONY: up
up: ## run everything in containers on http://localhost:8080
	PARLEY_VERSION="$$(git describe --tags --always --dirty 2>/dev/null || echo '(devel)')" \
	PARLEY_REVISION="$$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
	docker compose up --build --detach --wait

.PHONY: down
down: ## stop the containers and keep their data
	docker compose down

##### Build

.PHONY: web
web: ## build the web page, which later builds of the programs embed; installs Node.js if missing
	@tools/node
	@$(MAKE) --no-print-directory $(WEB)/dist/index.html.br

# Without a network the page cannot be built; everything else works.
.PHONY: page
page:
	@$(MAKE) --no-print-directory web || echo "The page was not built, or is an earlier build; everything else runs."

# Vite empties the folder, so compression runs last. The operator's page contains parts of the two other files.
$(WEB)/dist/index.html.br: $(WEB_FILES) docs/operations.md deploy/prometheus/parley.rules.yml $(WEB)/node_modules/.package-lock.json
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
build-alone: ## build each module without the workspace, as an image or another repository does
	@for m in $(MODULES); do echo "build $$m alone"; (cd $$m && GOWORK=off $(GO) build -o /dev/null ./...) || exit 1; done

.PHONY: tidy
tidy: ## tidy every go.mod
	@for m in $(MODULES) tools; do (cd $$m && GOWORK=off $(GO) mod tidy) || exit 1; done

.PHONY: check-tidy
check-tidy:
	@for m in $(MODULES) tools; do (cd $$m && GOWORK=off $(GO) mod tidy -diff) || { echo "$$m: go.mod is not tidy: make tidy"; exit 1; }; done

# The copy is needed because the service embeds the document, and go:embed cannot read outside its module.
# The generator always escapes HTML in JSON; sed replaces its encoder with one that does not.
.PHONY: generate
generate: $(BUILT) $(WEB)/sdk/node_modules/.package-lock.json ## generate the REST server's types and interface, and the SDK's types, from docs/openapi.yaml
	cp docs/openapi.yaml chat-service/internal/api/openapi.yaml
	cd chat-service/internal/api && $(OAPI) -config config.yaml -o api.gen.go openapi.yaml
	sed -i.bak 's/json\.NewEncoder(&buf)\.Encode(/encode(\&buf, /' chat-service/internal/api/api.gen.go && rm chat-service/internal/api/api.gen.go.bak
	$(FUMPT) -w chat-service/internal/api/api.gen.go
	cd $(WEB)/sdk && npm run --silent generate

##### Check

.PHONY: test
test: ## install what is needed and check everything: format, vet, lint, builds, tests, e2e
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory web
	@$(MAKE) --no-print-directory check-tidy check-fmt vet lint build build-alone
	@$(MAKE) --no-print-directory web-test
	$(GOTEST) work

.PHONY: unit
unit: deps build ## run the tests of all modules except e2e, or of one: make unit M=ws-server
	$(GOTEST) $(if $(M),./$(M)/...,$(patsubst %,./%/...,$(filter-out e2e,$(MODULES))))

.PHONY: web-test
web-test: web $(WEB)/sdk/node_modules/.package-lock.json ## check and test the page and the JavaScript SDK
	@for d in $(WEB)/sdk $(WEB); do echo "test $$d"; (cd $$d && npm run --silent check && PARLEY_BIN_DIR=$(BIN) npm run --silent test) || exit 1; done

.PHONY: e2e
e2e: deps web ## run the end-to-end tests against the built programs, including the page in Chromium
	@$(MAKE) --no-print-directory build
	$(GOTEST) ./e2e/...
	@$(MAKE) --no-print-directory browser-variants

# Each name is a value of BROWSER_VARIANT: see e2e/browser/variant_test.go.
.PHONY: browser-variants
browser-variants: ## run the tests of the page again: reduced motion, narrow window, German, text of twice the size
	@for v in reduced-motion narrow german large-text; do echo "BROWSER_VARIANT=$$v"; BROWSER_VARIANT=$$v $(GOTEST) ./e2e/browser || exit 1; done

.PHONY: fuzz
fuzz: ## search for new failing inputs with every fuzz target for FUZZTIME (10000x); make test repeats known ones
	@grep -rnoE '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' --exclude-dir=node_modules $(MODULES) | while IFS=: read -r file _ func; do \
		name=$${func#func }; echo "fuzz ./$${file%/*} $$name"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$${file%/*}" || exit 1; \
	done

.PHONY: bench
bench: deps ## measure everything and its floors; writes docs/benchmarks.md (40 minutes, on a quiet machine)
	$(GO) run ./loadtest/cmd/loadtest bench $(BENCHFLAGS)

# Settings: make k6 K6_SCRIPT=delivery K6FLAGS='--duration 1m --members 50'
K6_SCRIPT ?= company
.PHONY: k6
k6: deps $(K6) ## run a k6 script against all of Parley: K6_SCRIPT=company or delivery
	$(GO) run ./loadtest/cmd/loadtest k6 --program $(K6) $(K6FLAGS) loadtest/k6/$(K6_SCRIPT).js

$(K6):
	@echo "Building k6 $(K6_VERSION) (once; takes some minutes without a build cache)."
	@mkdir -p $(dir $@)
	@GOWORK=off GOBIN=$(dir $@) $(GO) install go.k6.io/k6@$(K6_VERSION)

.PHONY: microbench
microbench: deps ## run the Go benchmarks of all modules, or of one: make microbench M=ws-server
	$(GO) test -run '^$$' -bench . -benchmem $(if $(M),./$(M)/...,work)

.PHONY: vet
vet: ## run go vet
	$(GO) vet work

.PHONY: lint
lint: $(BUILT) ## run the linters, including the import rules
	$(LINT) run $(patsubst %,./%/...,$(MODULES))

.PHONY: fmt
fmt: $(BUILT) ## format the source
	$(FUMPT) -w $(MODULES)

.PHONY: check-fmt
check-fmt: $(BUILT)
	@bad=$$($(FUMPT) -l $(MODULES)) && [ -z "$$bad" ] || { echo "not formatted (make fmt):"; echo "$$bad"; exit 1; }

# Installs what the tests need. The product's own installer (ensure) installs PostgreSQL and Redis.
# The race detector needs a C compiler on Linux, the alert rules promtool, the page a browser, and
# the proxy's configuration nginx. Tests that use a pooler need PgBouncer, and tests of the page with
# other scripts and emoji need fonts; without them, these tests are skipped.
.PHONY: deps
deps: $(BUILT)
	@tools/nginx
	@command -v $${CC:-cc} >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || { \
		command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends gcc libc6-dev; \
	} || { echo "The race detector needs a C compiler: install gcc or clang."; exit 1; }
	@$(GO) run ./internal/devkit/localserver/ensure
	@command -v promtool >/dev/null 2>&1 || { \
		command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends prometheus; \
	} || { echo "The tests of the alert rules need promtool: install Prometheus (Debian: prometheus)."; exit 1; }
	@command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || { \
		command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends pgbouncer; \
	} || echo "Tests behind a pooler will be skipped: they need PgBouncer (Debian: pgbouncer)."
	@command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || \
		[ -n "$$CHROMIUM" ] || [ -d "/Applications/Google Chrome.app" ] || [ -d /Applications/Chromium.app ] || { \
		command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium; \
	} || { echo "The tests of the page need Chromium: install it (Debian: chromium), or set CHROMIUM to its path."; exit 1; }
	@[ "$$(uname)" = Darwin ] || ( for have in lang=ar lang=he lang=ko charset=1f389; do fc-list ":$$have" 2>/dev/null | grep -q . || exit 1; done ) || { \
		command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends fontconfig fonts-dejavu-core fonts-wqy-zenhei fonts-noto-color-emoji; \
	} || echo "Screens with some scripts will be skipped: they need fonts (Debian: fonts-dejavu-core, fonts-wqy-zenhei, fonts-noto-color-emoji)."

$(BUILT):
	@echo "Building the tools (once per version; takes some minutes without a build cache)."
	@mkdir -p $(TOOLS)
	@cd tools && GOWORK=off $(GO) build -o $(TOOLS)/ tool
	@touch $@

.PHONY: clean
clean: ## remove build results; keep the data of make run in .data
	rm -rf $(BIN) .tools coverage.out $(WEB)/dist $(WEB)/node_modules $(WEB)/sdk/node_modules
	mkdir $(WEB)/dist && touch $(WEB)/dist/.gitkeep
