// Package text analyzes text that people type. It finds the mentions in a body, recognizes emoji,
// and finds JSON strings that contain half of a surrogate pair. Package chat defines the rules for
// the size and form of bodies and names.
//
// Every function is pure and safe for concurrent use. The vectors folder contains inputs and their
// expected results as JSON. Tests in Go and in TypeScript use these files, to ensure that the
// services and the web page return the same results.
package text
