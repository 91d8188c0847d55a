// Package database opens a service's PostgreSQL connection pool, using the service's own role.
package database

import (
	"cmp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"parley.chat/internal/platform/databaseurl"
	"parley.chat/internal/platform/pgsession"
)

// Options configures a pool.
type Options struct {
	Role             string        // role to set after connecting; "" keeps the login's role
	MaxConns         int           // default 10
	StatementTimeout time.Duration // default 15s
	ApplicationName  string        // shown in pg_stat_activity
	// Inline makes pgx run queries without preparing them. It is for services that query only
	// through bun. bun writes arguments into the query text, so every query has a different text.
	// Preparing these queries would fill pgx's cache and the server's memory with statements that
	// are never reused.
	Inline bool
}

// Open returns a pool for url without connecting. pgsession sets up and checks every session of the
// pool. If a session later turns out to be read-only, it is removed from the pool, and the query
// returns the error.
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
