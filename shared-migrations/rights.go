package migrations

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"parley.chat/shared-contracts/schema"
)

// Roles belong to a server and not to a database: a dump that is restored into a fresh server has neither
// them nor the rights that were granted to them. So they are made whatever the schema's version is.
var (
	//go:embed roles.sql
	rolesSQL string
	// grantsSQL is what the migrations grant and revoke in sum; a test compares.
	//go:embed grants.sql
	grantsSQL string
)

// aclSQL shows all rights in the schema, in a fixed order.
const aclSQL = `select coalesce(string_agg(entry, e'\n' order by entry), '') from (
	select 'relation ' || relname || ' ' || relacl::text from pg_class where relnamespace = 'public'::regnamespace
	union all
	select 'column ' || relname || '.' || attname || ' ' || attacl::text from pg_attribute join pg_class c on c.oid = attrelid where relnamespace = 'public'::regnamespace
	union all
	select 'function ' || p.oid::regprocedure || ' ' || proacl::text from pg_proc p where pronamespace = 'public'::regnamespace
) rights (entry)`

// ErrRights says that roles or rights are missing, though the schema is complete.
var ErrRights = errors.New("roles or their rights are missing, as after a restore into a fresh server: run migrate up")

// makeRoles makes the roles that are missing.
func makeRoles(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, rolesSQL); err != nil {
		return fmt.Errorf("make the roles of the services: %w", err)
	}
	return nil
}

// grantRights grants what is missing, and reports whether there was anything. With keep false it changes
// nothing. The schema has to be of the version that this program knows.
func grantRights(ctx context.Context, conn *pgx.Conn, keep bool) (missing bool, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, fmt.Errorf("grant rights: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
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
	if before == after || !keep {
		return before != after, nil
	}
	if err := tx.Commit(ctx); err != nil {
		return true, fmt.Errorf("grant rights: %w", err)
	}
	return true, nil
}

// CheckRights returns ErrRights if the roles of the services or their rights are missing. It changes
// nothing. A schema of another version is not checked: see Status.
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
