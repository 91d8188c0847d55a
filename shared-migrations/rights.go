package migrations

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"parley.chat/shared-contracts/schema"
)

// Roles belong to a PostgreSQL server, not to a database. After a dump is restored into a new
// server, the roles and their rights are missing. So Up creates them regardless of the schema
// version.
var (
	//go:embed roles.sql
	rolesSQL string
	// grantsSQL contains the net result of all grants and revokes in the migrations. A test
	// verifies this.
	//go:embed grants.sql
	grantsSQL string
)

// aclSQL lists all rights in the schema, in a fixed order.
const aclSQL = `select coalesce(string_agg(entry, e'\n' order by entry), '') from (
	select 'relation ' || relname || ' ' || relacl::text from pg_class where relnamespace = 'public'::regnamespace
	union all
	select 'column ' || relname || '.' || attname || ' ' || attacl::text from pg_attribute join pg_class c on c.oid = attrelid where relnamespace = 'public'::regnamespace
	union all
	select 'function ' || p.oid::regprocedure || ' ' || proacl::text from pg_proc p where pronamespace = 'public'::regnamespace
) rights (entry)`

// ErrRights means that roles or rights are missing although the schema is complete.
var ErrRights = errors.New("roles or their rights are missing, as after a restore into a new server: run migrate up")

// createRoles creates the missing roles.
func createRoles(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, rolesSQL); err != nil {
		return fmt.Errorf("create the roles of the services: %w", err)
	}
	return nil
}

// grantRights grants the missing rights and reports whether any were missing. If apply is false, it
// changes nothing. The database must have this program's schema version.
func grantRights(ctx context.Context, conn *pgx.Conn, apply bool) (missing bool, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, fmt.Errorf("grant rights: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // has no effect after a commit
	var before, after string
	if err := tx.QueryRow(ctx, aclSQL).Scan(&before); err != nil {
		return false, fmt.Errorf("read rights: %w", err)
	}
	if _, err := tx.Exec(ctx, grantsSQL); err != nil {
		return false, fmt.Errorf("grant rights: %w", err)
	}
	if err := tx.QueryRow(ctx, aclSQL).Scan(&after); err != nil {
		return false, fmt.Errorf("read rights: %w", err)
	}
	if before == after || !apply {
		return before != after, nil
	}
	if err := tx.Commit(ctx); err != nil {
		return true, fmt.Errorf("grant rights: %w", err)
	}
	return true, nil
}

// CheckRights returns ErrRights if service roles or their rights are missing. It changes nothing.
// If the database has a different schema version, it checks nothing and returns nil; see Status.
func CheckRights(ctx context.Context, url string) error {
	conn, err := connect(ctx, url)
	if err != nil {
		return fmt.Errorf("check rights: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	current, err := version(ctx, conn)
	if err != nil || current != schema.Version {
		return err
	}
	var roles int
	if err := conn.QueryRow(ctx, "select count(*) from pg_roles where rolname in ('parley_chat', 'parley_ws', 'parley_sync')").Scan(&roles); err != nil {
		return fmt.Errorf("check roles: %w", err)
	}
	if roles < 3 {
		return ErrRights
	}
	missing, err := grantRights(ctx, conn, false)
	if err == nil && missing {
		err = ErrRights
	}
	return err
}
