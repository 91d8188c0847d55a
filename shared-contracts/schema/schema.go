// Package schema defines the database schema version that the programs of this release require.
package schema

// Version is the version of the newest migration. A test in shared-migrations compares them.
const Version = 33

// VersionTable is the table that stores the schema version of the database: one row with the column
// version.
const VersionTable = "public.parley_schema_version"
