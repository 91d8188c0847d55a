// Package mention finds the users that a message mentions: the members whose @username it contains
// or, if it contains @channel, all members. The gateway and the REST service use it before the
// append, so that the mentions are part of the event and the same for everyone.
//
// Package text extracts the names from a body. A Finder looks up the members with these names in
// PostgreSQL. A Finder is safe for concurrent use and starts no goroutines.
package mention
