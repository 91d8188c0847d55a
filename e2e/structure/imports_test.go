// Package structure checks what no single module can check for itself: import rules, where Redis
// keys and SQL are, and that the deployment files match the programs.
package structure_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pkg is a package of Parley, as reported by the go command.
type pkg struct {
	ImportPath                string
	Imports                   []string // imports of its production files
	TestImports, XTestImports []string // imports of its tests
	Deps                      []string // all dependencies of its production files, including indirect ones
}

// rule forbids imports to some packages. A pattern is an import path or, if it ends in /..., all
// paths with that prefix.
type rule struct {
	name   string
	of     []string // packages that the rule applies to
	except []string // of these, packages that it does not apply to
	never  []string // packages that they must not import
	only   []string // if set instead: the only packages that they may import, in addition to the standard library
	direct bool     // whether to check only direct imports, not all dependencies
	reason string
}

const (
	redisClient = "github.com/redis/go-redis/..."
	webSocket   = "github.com/gorilla/websocket/..."
)

var sql = []string{"github.com/uptrace/bun/...", "github.com/jackc/pgx/...", "database/sql/..."}

// fixtures are the packages that only test files import. They are not test files themselves,
// because the tests of several packages share them.
var fixtures = []string{
	"parley.chat/chat-service/internal/chattest", "parley.chat/sync-service/internal/streamtest", "parley.chat/client/internal/gatewaytest",
	"parley.chat/internal/eventlog/logtest",
}

func module(name string) string { return "parley.chat/" + name + "/..." }

var rules = []rule{
	{
		name: "chat-service imports no service", of: []string{module("chat-service")}, never: []string{module("ws-server"), module("sync-service"), module("standalone")},
		reason: "a service never imports another service: each is built, deployed and restarted on its own",
	},
	{
		name: "ws-server imports no service", of: []string{module("ws-server")}, never: []string{module("chat-service"), module("sync-service"), module("standalone")},
		reason: "a service never imports another service: each is built, deployed and restarted on its own",
	},
	{
		name: "sync-service imports no service", of: []string{module("sync-service")}, never: []string{module("chat-service"), module("ws-server"), module("standalone")},
		reason: "a service never imports another service: each is built, deployed and restarted on its own",
	},
	{
		name: "contracts are data", of: []string{module("shared-contracts")}, only: []string{module("shared-contracts"), "github.com/google/uuid"},
		reason: "shared-contracts is what crosses a process boundary: data and rules, no I/O",
	},
	{
		name: "the SDK stands alone", of: []string{"parley.chat/client"}, only: []string{module("client"), module("shared-contracts"), webSocket, "github.com/google/uuid"},
		reason: "it is built into other people's programs, so it must not contain internal packages or services, and as little else as possible",
	},
	{
		name: "the programs of the SDK are examples", of: []string{"parley.chat/client/cmd/..."},
		only:   []string{module("client"), module("shared-contracts"), webSocket, "github.com/google/uuid", "golang.org/x/term/...", "golang.org/x/sys/..."},
		reason: "users of the SDK can write them too, so they need only the SDK and a terminal",
	},
	{
		name: "the page is files", of: []string{module("web-client")}, only: []string{module("web-client")},
		reason: "web-client contains only the built files, not the code that serves them",
	},
	{
		name: "the documents are files", of: []string{module("docs")}, only: []string{module("docs")},
		reason: "docs contains only documents, not the code that renders them",
	},
	{
		name: "one service serves the page", of: []string{module("ws-server"), module("sync-service"), module("internal"), module("shared-contracts"), module("shared-migrations"), module("client"), module("loadtest")},
		never:  []string{module("web-client"), module("docs")},
		reason: "chat-service serves the page and the documentation; in other programs they would only take space",
	},
	{
		name: "shared code imports no service", of: []string{module("internal"), module("shared-migrations")},
		never:  []string{module("chat-service"), module("ws-server"), module("sync-service"), module("standalone")},
		reason: "code that services share must not import a service",
	},
	{
		name: "devkit stands alone", of: []string{module("internal/devkit")},
		never:  []string{module("internal/platform"), module("internal/eventlog"), module("shared-migrations")},
		reason: "the tests of all other modules import it, so importing one of them would be a cycle",
	},
	{
		name: "platform does not depend on chat", of: []string{module("internal/platform")},
		never: []string{
			module("internal/eventlog"), module("internal/devkit"), module("shared-migrations"), module("shared-contracts/event"),
			module("shared-contracts/frame"), module("shared-contracts/notice"),
		},
		reason: "platform must be usable by any product, so it must not depend on the event log",
	},
	{
		name: "the event log contains no test code", of: []string{module("internal/eventlog")}, except: []string{"parley.chat/internal/eventlog/logtest"},
		never:  []string{module("internal/devkit"), module("shared-migrations")},
		reason: "it is part of all three services",
	},
	{
		name: "the log does not depend on what uses it", of: []string{"parley.chat/internal/eventlog"}, never: []string{module("internal/eventlog")},
		reason: "the packages below it build on the numbering and its repair, which must be readable without them",
	},
	{
		name: "a connection does not know what it carries", of: []string{"parley.chat/internal/eventlog/logconn"}, never: []string{module("internal/eventlog")},
		reason: "appends and subscriptions share a connection, and neither must depend on the other through it",
	},
	{
		name: "subscribing does not depend on appending", of: []string{"parley.chat/internal/eventlog/subscriber"}, never: []string{"parley.chat/internal/eventlog", "parley.chat/internal/eventlog/appender"},
		reason: "a subscription is to topics: it knows neither events nor their numbers",
	},
	{
		name: "appending does not depend on subscribing", of: []string{"parley.chat/internal/eventlog/appender"},
		never:  []string{"parley.chat/internal/eventlog/subscriber", "parley.chat/internal/eventlog/receiptlog"},
		reason: "chat-service and sync-service append without subscribing",
	},
	{
		name: "receipts do not depend on events", of: []string{"parley.chat/internal/eventlog/receiptlog"}, never: []string{module("internal/eventlog")},
		reason: "a receipt has no seq and is not appended: code that moves or reads receipts needs neither the log of events nor its connections",
	},
	{
		name: "no test code in production", of: []string{module("chat-service"), module("ws-server"), module("sync-service")}, except: fixtures,
		never:  []string{module("internal/devkit"), "testing"},
		reason: "devkit is for tests, and a service gets its servers from its settings",
	},
	{
		name: "fixtures are only for tests", of: []string{"parley.chat/..."}, except: fixtures, never: fixtures,
		reason: "a fixture starts servers, which may be fake, and fills them without the rules of the services",
	},
	{
		name: "no gRPC", of: []string{module("chat-service"), module("ws-server"), module("sync-service"), module("standalone"), module("internal")},
		never:  []string{"google.golang.org/grpc/..."},
		reason: "it makes ws-server half as large again without being used (decision 0020)",
	},
	{
		name: "only the migrator migrates", of: []string{module("chat-service"), module("ws-server"), module("sync-service")}, except: fixtures,
		never:  []string{module("shared-migrations")},
		reason: "otherwise every instance of a service would change the schema",
	},
	{
		name: "the hub does not depend on transports", of: []string{"parley.chat/ws-server/internal/hub/...", "parley.chat/internal/platform/affinity"},
		never:  []string{webSocket, redisClient, module("internal"), module("ws-server")},
		reason: "the fan-out can be read, tested and replaced on its own",
	},
	{
		name: "a connection does not depend on stores", of: []string{"parley.chat/ws-server/internal/connection/...", "parley.chat/internal/platform/socket"},
		never:  slices.Concat([]string{redisClient, module("internal"), module("ws-server")}, sql),
		reason: "connection can be read, tested and replaced on its own",
	},
	{
		name: "the feed does not depend on sockets", of: []string{"parley.chat/ws-server/internal/feed/..."},
		never:  []string{webSocket, "parley.chat/ws-server/internal/connection/...", "parley.chat/ws-server/internal/gateway/..."},
		reason: "the feed can be read, tested and replaced on its own",
	},
	{
		name: "the feed opens no sockets", of: []string{"parley.chat/ws-server/internal/feed/..."}, direct: true,
		never:  []string{"net", "net/http/..."},
		reason: "the feed can be read, tested and replaced on its own",
	},
	{
		name: "receipts, presence and changes do not depend on WebSockets",
		of: []string{
			"parley.chat/ws-server/internal/changes/...",
			"parley.chat/ws-server/internal/receipts/...", "parley.chat/ws-server/internal/presence/...", "parley.chat/ws-server/internal/presencefanout/...",
		},
		never:  []string{webSocket, "parley.chat/ws-server/internal/connection/...", "parley.chat/ws-server/internal/gateway/...", "parley.chat/ws-server/internal/feed/..."},
		reason: "they reach connections through the hub and through functions, so they can be tested without a socket",
	},
	{
		name: "typing depends only on the contracts", of: []string{"parley.chat/ws-server/internal/typing/..."},
		only:   []string{module("shared-contracts"), "github.com/google/uuid"},
		reason: "typing notices are computed without I/O; the gateway publishes them",
	},
	{
		name: "SQL is only in stores", of: []string{"parley.chat/ws-server/internal/...", "parley.chat/sync-service/internal/..."}, direct: true,
		except: append([]string{"parley.chat/ws-server/internal/store/...", "parley.chat/sync-service/internal/store/..."}, fixtures...), never: sql,
		reason: "each service has one place to find queries and to check their plans",
	},
}

func TestImports(t *testing.T) {
	packages := list(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			bound := 0
			for _, p := range packages {
				if !matches(p.ImportPath, r.of) || matches(p.ImportPath, r.except) {
					continue
				}
				bound++
				imports := p.Deps
				if r.direct {
					imports = p.Imports
				}
				if i := slices.IndexFunc(imports, r.forbids); i >= 0 {
					t.Errorf("%s needs %s: %s", p.ImportPath, imports[i], r.reason)
				}
			}
			if bound == 0 {
				t.Errorf("no package matches %q: the rule applies to nothing", r.of)
			}
		})
	}
}

// TestImports_e2e checks the imports of test files, because e2e consists of tests.
func TestImports_e2e(t *testing.T) {
	services := []string{module("chat-service"), module("ws-server"), module("sync-service"), module("standalone")}
	bound := 0
	for _, p := range list(t) {
		if !matches(p.ImportPath, []string{module("e2e")}) {
			continue
		}
		bound++
		for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if matches(i, services) {
				t.Errorf("%s imports %s: e2e tests only what users have: the built programs", p.ImportPath, i)
			}
		}
	}
	if bound == 0 {
		t.Error("e2e has no package: the rule applies to nothing")
	}
}

// forbids reports whether the rule forbids the packages to which it applies to depend on path.
func (r rule) forbids(path string) bool {
	if r.only != nil {
		first, _, _ := strings.Cut(path, "/")
		return strings.Contains(first, ".") && !matches(path, r.only) // paths of the standard library have no dot
	}
	return matches(path, r.never) && (!matches(path, r.of) || matches(path, r.except))
}

func matches(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, below := strings.CutSuffix(pattern, "/...")
		return path == prefix || below && strings.HasPrefix(path, prefix+"/")
	})
}

// list returns the packages of the workspace.
func list(t *testing.T) []pkg {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", "work")
	cmd.Dir, cmd.Stderr = root(t), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}

// root returns the folder of the workspace.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.work")); err != nil {
		t.Fatalf("not in the workspace: %v", err)
	}
	return dir
}

// TestKeys checks that only package rediskey builds names of Redis keys, so that the partition and
// the hash tag of a key are determined in one place.
func TestKeys(t *testing.T) {
	eachFile(t, func(path string, source []byte) {
		switch {
		case strings.HasPrefix(path, "shared-contracts/rediskey/") || strings.HasPrefix(path, "e2e/") || strings.HasSuffix(path, "_test.go"):
		case strings.HasSuffix(path, ".go"):
			for _, literal := range literals(t, path, source) {
				if strings.HasPrefix(literal, "parley:") {
					t.Errorf("%s builds the key %q: only package rediskey may do that", path, literal)
				}
			}
		case strings.HasSuffix(path, ".lua"):
			for line := range strings.Lines(string(source)) {
				code, _, _ := strings.Cut(line, "--")
				if strings.Contains(code, "parley:") {
					t.Errorf("%s builds a key, but keys must be passed in\n\t%s", path, line)
				}
			}
		}
	})
}

// literals returns the string literals of a Go file.
func literals(t *testing.T, path string, source []byte) (found []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			found = append(found, strings.Trim(lit.Value, "\"`"))
		}
		return true
	})
	return found
}

// eachFile calls visit for the files of the modules.
func eachFile(t *testing.T, visit func(path string, source []byte)) {
	t.Helper()
	dir := root(t)
	var modules []string
	for _, pattern := range []string{"*", "internal/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern, "go.mod"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no modules in %s/%s: %v", dir, pattern, err)
		}
		modules = append(modules, found...)
	}
	for _, m := range modules {
		walk(t, filepath.Dir(m), visit)
	}
}

// walk calls visit for each file below the folder top, or for top itself if it is a file. path is
// relative to the workspace.
func walk(t *testing.T, top string, visit func(path string, source []byte)) {
	t.Helper()
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "node_modules" || d.Name() == "dist") {
			return fs.SkipDir // third-party or generated files
		}
		if err != nil || d.IsDir() {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root(t), path)
		if err == nil {
			visit(filepath.ToSlash(name), source)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
