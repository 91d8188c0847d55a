package frame

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"testing"
)

func goldenEvents(t testing.TB) [][]byte {
	t.Helper()
	b, err := os.ReadFile("testdata/event.golden")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(b), []byte("\n"))
}

// TestScanMessage_acceptsWhatEncodeWrites checks that the fast path handles every encoded message.
// A frame that the fast path rejects would still be decoded, but slowly.
func TestScanMessage_acceptsWhatEncodeWrites(t *testing.T) {
	t.Parallel()
	for _, b := range goldenEvents(t) {
		if _, ok := scanMessage(b); ok != bytes.HasPrefix(b, []byte(`{"type":"message"`)) {
			t.Errorf("scanMessage(%s) = %v", b, ok)
		}
	}
}

// FuzzScanMessage checks that scanned frames equal the result of encoding/json.
func FuzzScanMessage(f *testing.F) {
	for _, b := range goldenEvents(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := scanMessage(b)
		if !ok {
			return
		}
		var want Event
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("scanned %q, which is not valid JSON: %v", b, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("scanned %+v, want %+v", got, want)
		}
	})
}
