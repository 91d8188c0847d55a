package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

// partitions is the services' default number of partitions.
const partitions = 16

// Library contains channels with stored messages, and users who are members of all these channels.
type Library struct {
	Channels []chat.ChannelID
	People   []Person // their field Channel is not used
}

// LibraryOptions describes the size of a Library.
type LibraryOptions struct {
	Channels, People, Messages int // messages per channel
	Body                       int // size of a message, in bytes
	Unread                     int // number of unread messages in every fifth channel
	Tail                       int // number of each channel's newest messages to put into Redis
}

// One in reactedEvery messages has two reactions, and one in editedEvery has been edited.
const reactedEvery, editedEvery = 10, 20

// Fill creates a Library in the database and, if a Redis server is running, in Redis.
func (s *Stage) Fill(ctx context.Context, o LibraryOptions) (*Library, error) {
	l := &Library{}
	issuer := token.NewIssuer(s.key, 2*time.Hour)
	for range o.People {
		p := Person{ID: chat.NewUserID()}
		var err error
		if p.Token, _, err = issuer.Issue(token.Claims{UserID: p.ID, SessionID: chat.NewSessionID(), Username: p.name()}); err != nil {
			return nil, err
		}
		l.People = append(l.People, p)
	}
	for range o.Channels {
		l.Channels = append(l.Channels, chat.NewChannelID())
	}
	db, err := pgx.Connect(ctx, s.DatabaseURL())
	if err != nil {
		return nil, fmt.Errorf("fill the database: %w", err)
	}
	if err := errors.Join(l.store(ctx, db, o), db.Close(ctx)); err != nil {
		return nil, fmt.Errorf("fill the database: %w", err)
	}
	if s.redis != nil {
		if err := s.fillRedis(ctx, l, o); err != nil {
			return nil, fmt.Errorf("fill Redis: %w", err)
		}
	}
	return l, nil
}

func (p Person) name() string { return "load-" + p.ID.String() }

// store writes the library to the database with COPY. It sets the watermarks so that all entries in
// Redis count as stored.
func (l *Library) store(ctx context.Context, db *pgx.Conn, o LibraryOptions) error {
	var users, rooms, memberships [][]any
	for _, p := range l.People {
		users = append(users, []any{p.ID.UUID, p.name(), p.name() + "@example.test", "-"})
	}
	for i, c := range l.Channels {
		rooms = append(rooms, []any{c.UUID, string(chat.Public), "load " + c.String()})
		read := o.Messages
		if i%5 == 0 {
			read -= min(o.Unread, o.Messages)
		}
		for _, p := range l.People {
			memberships = append(memberships, []any{c.UUID, p.ID.UUID, read})
		}
	}
	messages, states, reactions := l.rows(o)
	for _, t := range []struct {
		table, columns string
		rows           pgx.CopyFromSource
	}{
		{"users", "id username email password_hash", pgx.CopyFromRows(users)},
		{"channels", "id kind name", pgx.CopyFromRows(rooms)},
		{"channel_members", "channel_id user_id last_read_seq", pgx.CopyFromRows(memberships)},
		{"messages", "channel_id seq id kind sender_id client_id body data sent_at", messages},
		{"message_states", "channel_id message_id edit_seq edited_at body", states},
		{"message_reactions", "channel_id message_id emoji user_id seq removed reacted_at", reactions},
	} {
		if _, err := db.CopyFrom(ctx, pgx.Identifier{t.table}, strings.Fields(t.columns), t.rows); err != nil {
			return fmt.Errorf("copy %s: %w", t.table, err)
		}
	}
	_, err := db.Exec(ctx, fmt.Sprintf(`insert into sync_watermarks (partition, entry_ms) select p, 1 from generate_series(0, %d) p
		on conflict (partition) do update set entry_ms = greatest(sync_watermarks.entry_ms, 1)`, partitions-1))
	if err == nil {
		// Vacuum and analyze the tables now, because autovacuum has not had the time to do it.
		_, err = db.Exec(ctx, "vacuum analyze users, channels, channel_members, messages, message_states, message_reactions")
	}
	return err
}

// event returns the message with the given seq in a channel. Each call generates new ids.
func (l *Library) event(channel int, seq int64, body string) frame.Event {
	client, by := chat.NewClientID(), l.People[seq%int64(len(l.People))]
	return frame.Event{
		Type: event.Message, ChannelID: l.Channels[channel], Seq: seq, ID: chat.NewEventID(), ClientID: &client,
		SenderID: by.ID, SenderName: by.name(), Body: body, SentAt: chat.Now(),
	}
}

// rows returns the rows for the messages, their edits and their reactions.
func (l *Library) rows(o LibraryOptions) (messages, states, reactions pgx.CopyFromSource) {
	body := strings.Repeat("x", o.Body)
	type done struct {
		channel int
		seq     int64
		id      chat.EventID
	}
	var edited, reacted []done
	n := 0
	messages = pgx.CopyFromFunc(func() ([]any, error) {
		if n == len(l.Channels)*o.Messages {
			return nil, nil
		}
		e := l.event(n/o.Messages, int64(n%o.Messages+1), body)
		d := done{n / o.Messages, e.Seq, e.ID}
		if n++; e.Seq%editedEvery == 0 {
			edited = append(edited, d)
		}
		if e.Seq%reactedEvery == 0 {
			reacted = append(reacted, d, d)
		}
		data, err := json.Marshal(map[string]string{"sender_name": e.SenderName})
		return []any{e.ChannelID.UUID, e.Seq, e.ID.UUID, string(e.Type), e.SenderID.UUID, e.ClientID.UUID, e.Body, data, e.SentAt.Time}, err
	})
	i, k := 0, 0 // the caller copies messages first, and this fills edited and reacted
	states = pgx.CopyFromFunc(func() ([]any, error) {
		if i == len(edited) {
			return nil, nil
		}
		d := edited[i]
		i++
		return []any{l.Channels[d.channel].UUID, d.id.UUID, d.seq, time.Now(), body}, nil
	})
	reactions = pgx.CopyFromFunc(func() ([]any, error) {
		if k == len(reacted) {
			return nil, nil
		}
		d := reacted[k]
		k++
		return []any{l.Channels[d.channel].UUID, d.id.UUID, "👍", l.People[k%min(2, len(l.People))].ID.UUID, d.seq*2 + int64(k%2), false, time.Now()}, nil
	})
	return messages, states, reactions
}

// fillRedis creates each channel's counter and its tail of stored messages.
func (s *Stage) fillRedis(ctx context.Context, l *Library, o LibraryOptions) error {
	opts, err := redis.ParseURL(s.RedisURL())
	if err != nil {
		return err
	}
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	log := eventlog.New(rdb, partitions)
	floor := func(context.Context, chat.ChannelID) (int64, error) { return int64(o.Messages), nil }
	body := strings.Repeat("x", o.Body)
	for i, c := range l.Channels {
		head, err := log.EnsureHead(ctx, c, floor)
		if err != nil {
			return err
		}
		var items []any
		for seq := int64(max(o.Messages-o.Tail, 0)) + 1; seq <= int64(o.Messages); seq++ {
			e := l.event(i, seq, body)
			b, err := e.Encode()
			if err != nil {
				return err
			}
			items = append(items, event.Item{Epoch: head.Epoch, Seq: seq, EntryID: "1-0", Kind: e.Type, Sender: e.SenderID, Frame: b}.Encode())
		}
		if len(items) == 0 {
			continue
		}
		if err := rdb.RPush(ctx, rediskey.Tail(log.Partition(c.UUID), c), items...).Err(); err != nil {
			return err
		}
	}
	return nil
}
