// Package database opens the pool that a service has on PostgreSQL, in the service's own role.
package database

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"parley.chat/internal/databaseurl"
)

// Options shape a pool.
type Options struct {
	Role             string        // taken as the runtime parameter `role`, which survives RESET; "" keeps the login's
	MaxConns         int           // default 10
	StatementTimeout time.Duration // default 15s
	ApplicationName  string        // as pg_stat_activity shows it
	// Inline is for who queries through bun alone. bun writes arguments into the text, so every query is
	// one of its own, and preparing it would fill pgx's cache, and the server's memory, with statements
	// that never come again.
	Inline bool
}

// Open returns a pool on url. It does not connect.
func Open(url string, o Options) (*bun.DB, error) {
	cfg, err := databaseurl.Parse(url)
	if err != nil {
		return nil, err
	}
	if o.Role != "" {
		cfg.RuntimeParams["role"] = o.Role
	}
	if o.ApplicationName != "" {
		cfg.RuntimeParams["application_name"] = o.ApplicationName
	}
	if o.StatementTimeout == 0 {
		o.StatementTimeout = 15 * time.Second
	}
	cfg.RuntimeParams["statement_timeout"] = fmt.Sprint(o.StatementTimeout.Milliseconds())
	if o.Inline {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 3 * time.Second
	}
	if o.MaxConns == 0 {
		o.MaxConns = 10
	}
	pool := stdlib.OpenDB(*cfg)
	pool.SetMaxOpenConns(o.MaxConns)
	pool.SetMaxIdleConns(o.MaxConns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	return bun.NewDB(pool, pgdialect.New()), nil
}

// Ping reports whether the database answers.
func Ping(ctx context.Context, db *bun.DB) error {
	var one int
	if err := db.QueryRowContext(ctx, "select 1").Scan(&one); err != nil && err != sql.ErrNoRows {
		return fmt.Errorf("reach PostgreSQL: %w", err)
	}
	return nil
}
