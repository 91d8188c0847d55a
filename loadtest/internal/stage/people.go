package stage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/token"
	"parley.chat/shared-contracts/chat"
)

// Person is a user with a login, who is a member of one channel.
type Person struct {
	ID      chat.UserID
	Token   string
	Channel int
}

// Population is channels with their members, those of a channel next to each other.
type Population struct {
	Channels []chat.ChannelID
	People   []Person
}

// Populate puts channels with so many members each into the database.
func (s *Stage) Populate(ctx context.Context, channels, members int) (*Population, error) {
	issuer := token.NewIssuer(s.key, 2*time.Hour)
	p := &Population{}
	var users, rooms, memberships [][]any
	for i := range channels {
		c := chat.NewChannelID()
		p.Channels = append(p.Channels, c)
		rooms = append(rooms, []any{c.UUID, string(chat.Public), "load " + c.String()})
		for range members {
			id := chat.NewUserID()
			name := "load-" + id.String()
			raw, _, err := issuer.Issue(token.Claims{UserID: id, SessionID: chat.NewSessionID(), Username: name})
			if err != nil {
				return nil, err
			}
			p.People = append(p.People, Person{ID: id, Token: raw, Channel: i})
			users = append(users, []any{id.UUID, name, name + "@example.test", "-"})
			memberships = append(memberships, []any{c.UUID, id.UUID})
		}
	}
	db, err := pgx.Connect(ctx, s.DatabaseURL())
	if err != nil {
		return nil, fmt.Errorf("populate: %w", err)
	}
	for _, t := range []struct {
		table   string
		columns []string
		rows    [][]any
	}{
		{"users", []string{"id", "username", "email", "password_hash"}, users},
		{"channels", []string{"id", "kind", "name"}, rooms},
		{"channel_members", []string{"channel_id", "user_id"}, memberships},
	} {
		if _, err := db.CopyFrom(ctx, pgx.Identifier{t.table}, t.columns, pgx.CopyFromRows(t.rows)); err != nil {
			return nil, errors.Join(fmt.Errorf("populate %s: %w", t.table, err), db.Close(ctx))
		}
	}
	_, err = db.Exec(ctx, "analyze users, channels, channel_members")
	if err := errors.Join(err, db.Close(ctx)); err != nil {
		return nil, fmt.Errorf("populate: %w", err)
	}
	return p, nil
}

// Crowd is a Population that no database knows of, for a floor that asks none.
func Crowd(channels, members int) *Population {
	p := &Population{}
	for i := range channels {
		p.Channels = append(p.Channels, chat.NewChannelID())
		for range members {
			p.People = append(p.People, Person{Channel: i})
		}
	}
	return p
}
