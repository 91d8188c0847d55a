// Package schema defines the database schema version that the programs of this release require.
package schema

// Version is the number of the newest migration. A test in shared-migrations verifies this.
const Version = 34

// VersionTable is the table that stores the database's schema version. It has one row, with the
// column version.
const VersionTable = "public.parley_schema_version"
