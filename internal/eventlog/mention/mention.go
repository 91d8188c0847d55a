// Package mention finds whom a message speaks to: the members whose @username it has, and with @channel
// all of them. The gateway and the REST service use it before the append, so that what was mentioned is
// part of the event and the same for everybody.
//
// Which names a body has is for package text to say. A Finder asks PostgreSQL which of the names are members' names; it
// is safe for concurrent use and starts no goroutines.
package mention
