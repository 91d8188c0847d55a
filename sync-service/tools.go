package syncservice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/store"
)

// Tools holds the clients and stores that the operator commands need. The commands may be used
// while instances are running. They do no work in the background.
type Tools struct {
	Config Config
	Redis  redis.UniversalClient
	Store  *store.Store

	db *bun.DB
}

// OpenTools opens the clients and checks that STREAM_PARTITIONS matches the deployment. With a
// different number of partitions, a command would look for channels in the wrong streams.
func OpenTools(ctx context.Context, cfg Config) (*Tools, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.RedisURL = redisclient.Discover(ctx, cfg.RedisURL)
	rdb, err := redisclient.Open(cfg.RedisURL, redisclient.Options{})
	if err != nil {
		return nil, err
	}
	db, err := database.Open(cfg.DatabaseURL, database.Options{
		Role: cfg.DatabaseRole, MaxConns: 4, ApplicationName: "sync-service tools", StatementTimeout: 10 * time.Minute,
	})
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	t := &Tools{Config: cfg, Redis: rdb, Store: store.New(db), db: db}
	recorded, err := rdb.Get(ctx, rediskey.Partitions).Int()
	switch {
	case errors.Is(err, redis.Nil): // no service has used this Redis yet
		return t, nil
	case err != nil:
		err = fmt.Errorf("reach Redis: %w", err)
	case recorded != cfg.Partitions:
		err = fmt.Errorf("STREAM_PARTITIONS is %d, but this deployment was created with %d", cfg.Partitions, recorded)
	default:
		return t, nil
	}
	return nil, errors.Join(err, t.Close())
}

// Close closes the clients.
func (t *Tools) Close() error { return errors.Join(t.db.Close(), t.Redis.Close()) }
