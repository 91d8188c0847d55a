package database

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
)

// Listen calls heard for each NOTIFY on the channel. It also calls heard once when it has begun to
// listen, because earlier notifications may have been missed. It uses its own connection, outside
// the pool. It returns the connection's error, or nil once ctx is done.
func Listen(ctx context.Context, db *bun.DB, channel string, heard func()) error {
	cfg, err := configOf(ctx, db)
	if err != nil {
		return ended(ctx, fmt.Errorf("listen to %s: %w", channel, err))
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return ended(ctx, fmt.Errorf("listen to %s: %w", channel, err))
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // no longer needed
	}()
	if _, err := conn.Exec(ctx, "listen "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return ended(ctx, fmt.Errorf("listen to %s: %w", channel, err))
	}
	for {
		heard()
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return ended(ctx, fmt.Errorf("listen to %s: %w", channel, err))
		}
	}
}

// ended returns nil if ctx is done, and err otherwise.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// configOf returns the configuration of the pool's connections.
func configOf(ctx context.Context, db *bun.DB) (cfg *pgx.ConnConfig, err error) {
	conn, err := db.DB.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // Close only returns the connection to the pool
	err = conn.Raw(func(driverConn any) error {
		c, ok := driverConn.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the driver is %T, not pgx", driverConn)
		}
		cfg = c.Conn().Config()
		return nil
	})
	return cfg, err
}
