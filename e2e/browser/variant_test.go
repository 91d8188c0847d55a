package browser_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// A variant is a setting of the user's system or window. All tests run under the variant that the
// environment variable BROWSER_VARIANT names.
type variant struct {
	width, height int64 // of the window, in CSS pixels
	reducedMotion bool
}

var variants = map[string]variant{
	"":               {width: 1280, height: 800},
	"reduced-motion": {width: 1280, height: 800, reducedMotion: true},
	"narrow":         {width: 390, height: 844},
}

func variantOf(t *testing.T) variant {
	t.Helper()
	v, known := variants[os.Getenv("BROWSER_VARIANT")]
	if !known {
		t.Fatalf("BROWSER_VARIANT=%q: want one of %s", os.Getenv("BROWSER_VARIANT"), strings.Join(slices.Sorted(maps.Keys(variants)), ", "))
	}
	return v
}
