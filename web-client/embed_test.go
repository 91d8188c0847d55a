package webclient_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	webclient "parley.chat/web-client"
)

// TestFiles checks that exactly the contents of dist are embedded, whether or not the page was
// built.
func TestFiles(t *testing.T) {
	t.Parallel()
	_, err := os.Stat("dist/index.html")
	if built := err == nil; webclient.Built() != built {
		t.Errorf("Built = %v, and dist/index.html: %v", webclient.Built(), err)
	}
	names, err := fs.Glob(webclient.Files(), "*")
	if err != nil || len(names) == 0 {
		t.Errorf("Files = %v, %v; want .gitkeep at least", names, err)
	}
	if _, err := fs.Stat(webclient.Files(), "dist"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("dist itself is in Files: %v", err)
	}
}
