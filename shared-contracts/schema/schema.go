// Package schema says which version of the database's schema the programs of this release are built for.
package schema

// Version is that of the newest migration; a test of shared-migrations compares them.
const Version = 33

// VersionTable has one row, whose column version is the version of the database.
const VersionTable = "public.parley_schema_version"
