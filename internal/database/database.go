// Package database opens the pool that a service has on PostgreSQL, in the service's own role.
package database

import (
	"cmp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"parley.chat/internal/databaseurl"
	"parley.chat/internal/pgsession"
)

// Options shape a pool.
type Options struct {
	Role             string        // taken after connecting; "" keeps the login's
	MaxConns         int           // default 10
	StatementTimeout time.Duration // default 15s
	ApplicationName  string        // as pg_stat_activity shows it
	// Inline is for services that query through bun alone. bun writes arguments into the text, so every
	// query is one of its own, and preparing it would fill pgx's cache, and the server's memory, with
	// statements that never come again.
	Inline bool
}

// Open returns a pool on url. It does not connect. Every session of the pool is made and checked by
// pgsession; one that turns out to be read-only later leaves the pool with the error that says so.
func Open(url string, o Options) (*bun.DB, error) {
	cfg, err := databaseurl.Parse(url)
	if err != nil {
		return nil, err
	}
	pgsession.Prepare(cfg, pgsession.Options{
		Role: o.Role, StatementTimeout: cmp.Or(o.StatementTimeout, 15*time.Second), ApplicationName: o.ApplicationName,
	})
	if o.Inline {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	maxConns := cmp.Or(o.MaxConns, 10)
	pool := stdlib.OpenDB(*cfg)
	pool.SetMaxOpenConns(maxConns)
	pool.SetMaxIdleConns(maxConns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	return bun.NewDB(pool, pgdialect.New()), nil
}
