// Package webclient embeds the page that Vite has built in dist (make web). In a clean checkout
// dist is empty, but the package still compiles.
package webclient

import (
	"embed"
	"io/fs"
)

// dist contains at least .gitkeep, because go:embed needs a file.
//
//go:embed all:dist
var dist embed.FS

// Files returns the built page with index.html at its root, or only .gitkeep if the page was not
// built.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("webclient: " + err.Error()) // the name is valid
	}
	return files
}

// Built reports whether the page had been built when the program was compiled.
func Built() bool {
	_, err := fs.Stat(Files(), "index.html")
	return err == nil
}
