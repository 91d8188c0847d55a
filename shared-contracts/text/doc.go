// Package text defines rules for text that people type: which names a body mentions, what an emoji
// is, and which JSON strings contain half of a surrogate pair. The rules for the size and form of
// bodies and names are in package chat.
//
// Every function is pure and safe for concurrent use. The vectors folder contains inputs with their
// expected results as JSON. The tests of this package and of the web page use the same files, so Go
// and TypeScript agree.
package text
