package telemetry

import (
	"strings"
	"testing"
)

// TestNewRegistry_linked checks that values set by the linker take precedence over those of the Go
// tool.
func TestNewRegistry_linked(t *testing.T) {
	linkedVersion, linkedRevision = "v1.2.3", "0123abc"
	t.Cleanup(func() { linkedVersion, linkedRevision = "", "" })
	families, err := NewRegistry("ws-server").Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "parley_build_info" {
			continue
		}
		labels := family.GetMetric()[0].String()
		for _, want := range []string{`"v1.2.3"`, `"0123abc"`, `"ws-server"`} {
			if !strings.Contains(labels, want) {
				t.Errorf("parley_build_info has %s, without %s", labels, want)
			}
		}
		return
	}
	t.Error("parley_build_info is missing")
}
