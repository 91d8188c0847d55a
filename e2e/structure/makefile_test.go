package structure_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestMake_testIsRepeatable checks that `make test` is repeatable: it runs fuzz targets only on
// known inputs, and leaves the search for new ones to `make fuzz`.
func TestMake_testIsRepeatable(t *testing.T) {
	dryRun := func(target string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "make", "-C", root(t), "--dry-run", target).CombinedOutput()
		if err != nil {
			t.Fatalf("make --dry-run %s: %v\n%s", target, err, out)
		}
		return string(out)
	}
	if !strings.Contains(dryRun("fuzz"), "-fuzz ") {
		t.Fatal("this test looks for the wrong flag: make fuzz does not use it")
	}
	for line := range strings.Lines(dryRun("test")) {
		if strings.Contains(line, "-fuzz ") {
			t.Errorf("make test searches for new inputs: %s", line)
		}
	}
}
