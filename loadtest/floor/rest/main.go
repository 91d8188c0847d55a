// Command rest is the floor of the REST scenarios: a minimal server built on echo and pgx. It
// serves a history page and a user's list of channels. It uses the same SQL statements and returns
// the same JSON as chat-service. It has no login, no validation, no Redis, no metrics and no log.
//
// The X-User header identifies the user. chat-service reads the channels' counters from Redis. This
// server reads them only at startup, because no messages are sent while it runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"net/http"
	"os"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"

	"parley.chat/shared-contracts/chat"
)

// limit is the number of items on a page.
const limit = 50

// server contains the data that the two handlers share.
type server struct {
	db    *pgxpool.Pool
	heads map[chat.ChannelID]int64 // read-only
}

func main() {
	if len(os.Args) != 2 || os.Getenv("DATABASE_URL") == "" {
		log.Fatal("usage: DATABASE_URL=… rest ADDRESS")
	}
	if err := run(context.Background(), os.Args[1], os.Getenv("DATABASE_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr, database string) error {
	cfg, err := pgxpool.ParseConfig(database)
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	cfg.MaxConns = 20 // chat-service's default
	s := &server{heads: map[chat.ChannelID]int64{}}
	if s.db, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return fmt.Errorf("open the pool: %w", err)
	}
	defer s.db.Close()
	if err := s.learnHeads(ctx); err != nil {
		return err
	}
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.GET("/ready", func(c echo.Context) error { return c.NoContent(http.StatusOK) })
	e.GET("/v1/channels", s.channels)
	e.GET("/v1/channels/:id/messages", s.messages)
	if err := e.Start(addr); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func (s *server) learnHeads(ctx context.Context) error {
	rows, err := s.db.Query(ctx, "select channel_id, max(seq) from messages group by channel_id")
	if err != nil {
		return fmt.Errorf("read heads: %w", err)
	}
	var id chat.ChannelID
	var seq int64
	_, err = pgx.ForEachRow(rows, []any{raw(&id.UUID), &seq}, func() error {
		s.heads[id] = seq
		return nil
	})
	if err != nil {
		return fmt.Errorf("read heads: %w", err)
	}
	return nil
}

// raw converts an id to a type that pgx encodes without reflection.
func raw(id *uuid.UUID) *[16]byte { return (*[16]byte)(id) }

// messages handles GET /v1/channels/{id}/messages: the newest page.
func (s *server) messages(c echo.Context) error {
	id, err := chat.ParseChannelID(c.Param("id"))
	if err != nil {
		return err
	}
	page, err := s.history(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, page)
}

// channels handles GET /v1/channels?mine=true: the first page.
func (s *server) channels(c echo.Context) error {
	user, err := chat.ParseUserID(c.Request().Header.Get("X-User"))
	if err != nil {
		return err
	}
	page, err := s.list(c.Request().Context(), user)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, page)
}

// newest is the upper bound for the seqs on the first history page.
const newest = int64(math.MaxInt64)

func cursorBefore(seq int64) *string {
	return cursor(`{"listMessages":{"b":` + strconv.FormatInt(seq, 10) + `}}`)
}
