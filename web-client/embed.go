// Package webclient is the page of Parley as it was built into this program: what Vite puts into dist
// (make web). The folder is empty in a clean checkout, and the package compiles all the same.
package webclient

import (
	"embed"
	"io/fs"
)

// dist holds at least .gitkeep, without which there would be nothing to embed.
//
//go:embed all:dist
var dist embed.FS

// Files returns what was built: index.html at its root, or nothing at all.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("webclient: " + err.Error()) // the name is valid
	}
	return files
}

// Built reports whether the page was built before the program was.
func Built() bool {
	_, err := fs.Stat(Files(), "index.html")
	return err == nil
}
