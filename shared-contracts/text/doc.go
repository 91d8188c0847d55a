// Package text has the rules for what people type, apart from the size and form of bodies and names (package
// chat): which names a body mentions, what an emoji is, and which JSON texts hold half of a surrogate pair.
//
// Every function is pure and safe for concurrent use. The folder vectors holds inputs with their results, as
// JSON. The tests of this package and those of the page run the same files, so that Go and TypeScript agree.
package text
