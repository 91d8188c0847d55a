package structure_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestOperations checks that docs/operations.md names every variable of every program.
func TestOperations(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"chat-service", "ws-server", "sync-service", "migrate", "standalone", "parley-probe"} {
		for _, variable := range slices.Sorted(maps.Keys(variables(t, program))) {
			if !strings.Contains(string(page), "`"+variable+"`") {
				t.Errorf("docs/operations.md does not name %s of %s", variable, program)
			}
		}
	}
}

// TestDependencies checks that docs/dependencies.md names every direct dependency with its version.
func TestDependencies(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	required := regexp.MustCompile(`(?m)^(?:require )?\s*([a-z0-9.-]+\.[a-z]+/\S+) (v\S+)$`) // without "// indirect"
	eachFile(t, func(path string, source []byte) {
		if filepath.Base(path) != "go.mod" || strings.HasPrefix(path, "tools/") {
			return
		}
		for _, m := range required.FindAllStringSubmatch(string(source), -1) {
			if strings.HasPrefix(m[1], "parley.chat/") {
				continue
			}
			if !strings.Contains(string(page), "| `"+m[1]+"` | "+m[2]+" |") {
				t.Errorf("docs/dependencies.md lacks %s %s of %s", m[1], m[2], path)
			}
		}
	})
}

// TestDependencies_page checks that the packages of the web page and of the JavaScript SDK are
// pinned and are in docs/dependencies.md.
func TestDependencies_page(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"web-client", "web-client/sdk"} {
		source, err := os.ReadFile(filepath.Join(root(t), dir, "package.json"))
		if err != nil {
			t.Fatal(err)
		}
		var pkg struct{ Dependencies, DevDependencies map[string]string }
		if err := json.Unmarshal(source, &pkg); err != nil {
			t.Fatal(err)
		}
		if dir == "web-client/sdk" && len(pkg.Dependencies) > 0 {
			t.Errorf("the SDK needs %v at run time, want nothing", pkg.Dependencies)
		}
		for _, list := range []map[string]string{pkg.Dependencies, pkg.DevDependencies} {
			for name, version := range list {
				if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version) {
					t.Errorf("%s: %s is %q, want one version", dir, name, version)
				}
				if !strings.Contains(string(page), "| `"+name+"` | "+version+" |") {
					t.Errorf("docs/dependencies.md lacks %s %s of %s", name, version, dir)
				}
			}
		}
	}
}
