package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/pgsession"
	"parley.chat/internal/platform/redisclient"
	migrations "parley.chat/shared-migrations"
)

const (
	// databaseName is the name of the database in the private PostgreSQL.
	databaseName = "parley"
	// redisMemory is the memory limit of the private Redis, in bytes.
	redisMemory = 1 << 30
	// connectTimeout limits the time to connect to a server and check it.
	connectTimeout = 5 * time.Second
	// stopTimeout limits the time to stop the private servers after a failed startup.
	stopTimeout = 15 * time.Second
)

// stores holds the URLs of PostgreSQL and Redis after both servers have been checked and the schema
// has been migrated. The postgres and redis fields are set only for private servers.
type stores struct {
	databaseURL, redisURL string
	postgres              *localserver.Postgres
	redis                 *localserver.Redis
}

// openStores checks the servers that the settings name, starts a private server for each store that
// they do not name, and migrates the schema. output receives the output of installations. If
// openStores fails, it leaves nothing running.
func openStores(ctx context.Context, cfg Config, dir *dataDir, p *progress, output io.Writer, log *slog.Logger) (*stores, error) {
	s := &stores{databaseURL: cfg.DatabaseURL, redisURL: cfg.RedisURL}
	if err := s.open(ctx, cfg, dir, p, output, log); err != nil {
		return nil, errors.Join(err, s.stop(ctx))
	}
	return s, nil
}

func (s *stores) open(ctx context.Context, cfg Config, dir *dataDir, p *progress, output io.Writer, log *slog.Logger) error {
	// Check the named servers first, so that no private server is started if one of them is
	// unsuitable.
	if s.databaseURL != "" {
		if err := checkPostgres(ctx, s.databaseURL, p); err != nil {
			return err
		}
	}
	if s.redisURL != "" {
		p.begin("Redis", "at REDIS_URL")
		s.redisURL = redisclient.Discover(ctx, s.redisURL)
		if err := checkRedis(ctx, s.redisURL, cfg.ws.Partitions); err != nil {
			if _, named := errors.AsType[*config.Error](err); named {
				return err
			}
			return &config.Error{Name: "REDIS_URL", Err: err}
		}
		p.done("answers")
	}
	var found localserver.Binaries
	if s.databaseURL == "" || s.redisURL == "" {
		var err error
		if found, err = find(ctx, s.databaseURL == "", s.redisURL == "", output); err != nil {
			return err
		}
	}
	if s.databaseURL == "" {
		if err := s.startPostgres(ctx, found, dir, p, log); err != nil {
			return err
		}
	}
	if s.redisURL == "" {
		if err := s.startRedis(ctx, found, dir, p); err != nil {
			return err
		}
		if err := checkRedis(ctx, s.redisURL, cfg.ws.Partitions); err != nil {
			return err
		}
	}
	return migrate(ctx, s.databaseURL, p, log)
}

// find locates the programs of the PostgreSQL and Redis servers. The arguments postgres and redis
// specify which of them are required. If a required program is missing, find tries to install it.
func find(ctx context.Context, postgres, redis bool, output io.Writer) (localserver.Binaries, error) {
	found, err := localserver.Find(ctx)
	if missing, ok := errors.AsType[*localserver.MissingError](err); ok {
		if postgres && missing.Postgres || redis && missing.Redis {
			return localserver.Ensure(ctx, output)
		}
		return found, nil
	}
	return found, err
}

func (s *stores) startPostgres(ctx context.Context, found localserver.Binaries, dir *dataDir, p *progress, log *slog.Logger) error {
	out, err := dir.serverLog("postgresql.log")
	if err != nil {
		return err
	}
	p.begin("PostgreSQL", "%s in %s", found.PostgresVersion, found.Postgres)
	data := filepath.Join(dir.path, "postgresql")
	s.postgres, err = localserver.StartPostgres(ctx, localserver.PostgresOptions{
		Bin: found.Postgres, DataDir: data, Durable: true, Log: out, Logger: log,
	})
	if err != nil {
		return err
	}
	if err := s.postgres.CreateDatabase(ctx, databaseName); err != nil {
		return err
	}
	s.databaseURL = s.postgres.URL(databaseName)
	p.done("started")
	if kept := s.postgres.DataDir(); kept != data {
		p.note("its data is in %s because its user cannot access %s", kept, dir.path)
	}
	return nil
}

func (s *stores) startRedis(ctx context.Context, found localserver.Binaries, dir *dataDir, p *progress) error {
	out, err := dir.serverLog("redis.log")
	if err != nil {
		return err
	}
	p.begin("Redis", "%s in %s", found.RedisVersion, filepath.Dir(found.Redis))
	s.redis, err = localserver.StartRedis(ctx, localserver.RedisOptions{
		Bin: found.Redis, Dir: filepath.Join(dir.path, "redis"), AppendFsync: localserver.FsyncAlways, MaxMemory: redisMemory, Log: out,
	})
	if err != nil {
		return err
	}
	s.redisURL = s.redis.URL()
	p.done("started")
	return nil
}

// checkPostgres verifies that the server at DATABASE_URL answers and is new enough.
func checkPostgres(ctx context.Context, url string, p *progress) error {
	p.begin("PostgreSQL", "at DATABASE_URL")
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgsession.Connect(ctx, url, pgsession.Options{ApplicationName: "standalone"})
	if _, named := errors.AsType[*config.Error](err); named {
		return err
	}
	if err != nil {
		return &config.Error{Name: "DATABASE_URL", Err: err}
	}
	defer conn.Close(context.WithoutCancel(ctx))
	version := conn.PgConn().ParameterStatus("server_version")
	var number string
	if err := conn.QueryRow(ctx, "show server_version_num").Scan(&number); err != nil {
		return &config.Error{Name: "DATABASE_URL", Err: fmt.Errorf("read the version: %w", err)}
	}
	if n, err := strconv.Atoi(number); err != nil || n < localserver.MinPostgres*10000 {
		return &config.Error{Name: "DATABASE_URL", Err: fmt.Errorf("the PostgreSQL server is version %s, Parley needs %d or newer", version, localserver.MinPostgres)}
	}
	p.done("version %s answers", version)
	return nil
}

// checkRedis verifies that a Redis server answers, is new enough, accepts writes, and is not used
// by a deployment with a different number of partitions.
func checkRedis(ctx context.Context, url string, partitions int) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	rdb, err := redisclient.Open(url, redisclient.Options{})
	if err != nil {
		return err
	}
	err = redisclient.Check(ctx, rdb, partitions)
	return errors.Join(err, rdb.Close())
}

func migrate(ctx context.Context, url string, p *progress, log *slog.Logger) error {
	p.begin("Schema", "version %d", migrations.Latest())
	list, err := migrations.Status(ctx, url)
	if err != nil {
		return err
	}
	missing := 0
	for _, m := range list {
		if !m.Applied {
			missing++
		}
	}
	if missing == 0 {
		p.done("up to date")
		return nil
	}
	if err := migrations.Up(ctx, url, log); err != nil {
		return err
	}
	p.done("%d migrations applied", missing)
	return nil
}

// parts returns the lifecycle parts that run the private servers. These servers stop last, Redis
// before PostgreSQL.
func (s *stores) parts() []lifecycle.Part {
	var parts []lifecycle.Part
	if s.postgres != nil {
		parts = append(parts, lifecycle.Part{Name: "private PostgreSQL", Run: s.postgres.Run})
	}
	if s.redis != nil {
		parts = append(parts, lifecycle.Part{Name: "private Redis", Run: s.redis.Run})
	}
	return parts
}

// stop stops the private servers after a failed startup. After a successful startup, package
// lifecycle stops them.
func (s *stores) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	var errs []error
	if s.redis != nil {
		errs = append(errs, s.redis.Stop(ctx))
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop(ctx))
	}
	return errors.Join(errs...)
}
