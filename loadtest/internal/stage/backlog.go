package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

// Backlog describes messages that are distributed over channels in round-robin order.
type Backlog struct {
	Channels []chat.ChannelID
	Entries  int
	body     string
	sender   Person
}

// NewBacklog returns a backlog of new channels without members.
func NewBacklog(entries, channels, body int) *Backlog {
	b := &Backlog{Entries: entries, body: strings.Repeat("x", body), sender: Person{ID: chat.NewUserID()}}
	for range channels {
		b.Channels = append(b.Channels, chat.NewChannelID())
	}
	return b
}

// event returns message i.
func (b *Backlog) event(i int) frame.Event {
	client := chat.NewClientID()
	return frame.Event{
		Type: event.Message, ChannelID: b.Channels[i%len(b.Channels)], Seq: int64(i/len(b.Channels) + 1), ID: chat.NewEventID(),
		ClientID: &client, SenderID: b.sender.ID, SenderName: b.sender.name(), Body: b.body, SentAt: chat.Now(),
	}
}

// Append adds a backlog to the streams in the format that gateways use, but without running the
// append script. It then waits until Redis has rewritten its append-only file.
func (s *Stage) Append(ctx context.Context, b *Backlog) error {
	opts, err := redis.ParseURL(s.RedisURL())
	if err != nil {
		return fmt.Errorf("append a backlog: %w", err)
	}
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	const together = 2000
	pipe := rdb.Pipeline()
	for i := range b.Entries {
		f := b.event(i)
		payload, err := f.Encode()
		if err != nil {
			return fmt.Errorf("append a backlog: %w", err)
		}
		e := event.Entry{
			Version: event.Version, Channel: f.ChannelID, Seq: f.Seq, Epoch: "1-a", Kind: f.Type, ID: f.ID,
			Sender: f.SenderID, ClientID: *f.ClientID, Payload: payload,
		}
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: rediskey.Stream(rediskey.Of(e.Channel.UUID, partitions)), Values: e.Fields()})
		if pipe.Len() == together || i == b.Entries-1 {
			if _, err := pipe.Exec(ctx); err != nil {
				return fmt.Errorf("append a backlog: %w", err)
			}
		}
	}
	// The new entries would make Redis rewrite its append-only file during the drain. So rewrite it
	// now.
	if err := awaitRewrite(ctx, rdb); err != nil {
		return err
	}
	if err := rdb.BgRewriteAOF(ctx).Err(); err != nil {
		return fmt.Errorf("make Redis rewrite its file: %w", err)
	}
	return awaitRewrite(ctx, rdb)
}

// awaitRewrite waits until no rewrite of Redis's append-only file is running or scheduled.
func awaitRewrite(ctx context.Context, rdb *redis.Client) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := rdb.InfoMap(ctx, "persistence").Result()
		if err != nil {
			return fmt.Errorf("check whether Redis rewrites its file: %w", err)
		}
		if state := info["Persistence"]; state["aof_rewrite_in_progress"] == "0" && state["aof_rewrite_scheduled"] == "0" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for Redis: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// messageColumns are the columns that sync-service fills.
const messageColumns = "channel_id seq id kind sender_id client_id body data sent_at"

// row returns the event's values for messageColumns.
func row(e *frame.Event) []any {
	return []any{
		[16]byte(e.ChannelID.UUID), e.Seq, [16]byte(e.ID.UUID), string(e.Type), [16]byte(e.SenderID.UUID), [16]byte(e.ClientID.UUID),
		e.Body, `{"sender_name":"` + e.SenderName + `"}`, e.SentAt.Time,
	}
}

// CopyPlainly stores a backlog with a single COPY of encoded rows, the fastest way to load rows
// into PostgreSQL. It returns the duration of the COPY.
func (s *Stage) CopyPlainly(ctx context.Context, b *Backlog) (took time.Duration, err error) {
	err = s.withDatabase(ctx, func(db *pgx.Conn) error {
		i := 0
		// Make the server encode the rows, so that the measured COPY reads exactly the server's own
		// format.
		_, err := db.CopyFrom(ctx, pgx.Identifier{"messages"}, strings.Fields(messageColumns), pgx.CopyFromFunc(func() ([]any, error) {
			if i == b.Entries {
				return nil, nil
			}
			e := b.event(i)
			i++
			return row(&e), nil
		}))
		if err != nil {
			return err
		}
		columns := strings.Join(strings.Fields(messageColumns), ", ")
		var rows bytes.Buffer
		if _, err := db.PgConn().CopyTo(ctx, &rows, "copy messages ("+columns+") to stdout (format binary)"); err != nil {
			return err
		}
		if _, err := db.Exec(ctx, "truncate messages"); err != nil {
			return err
		}
		began := time.Now()
		tag, err := db.PgConn().CopyFrom(ctx, &rows, "copy messages ("+columns+") from stdin (format binary)")
		took = time.Since(began)
		if err == nil && tag.RowsAffected() != int64(b.Entries) {
			err = errors.New("rows are missing")
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("copy rows: %w", err)
	}
	return took, nil
}
