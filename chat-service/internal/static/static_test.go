package static

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
)

func TestCompress(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("the kettle is on "), 100)
	variants, err := Compress(long)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(variants["gzip"]))
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(unpacked, long) || !bytes.Equal(variants[""], long) || len(variants["gzip"]) >= len(long) {
		t.Errorf("%d bytes become %d and unpack to %d, %v", len(long), len(variants["gzip"]), len(unpacked), err)
	}
	if variants, err = Compress([]byte("short")); err != nil || len(variants) != 1 {
		t.Errorf("a file that compression makes longer has %d variants, %v, want 1", len(variants), err)
	}
}
