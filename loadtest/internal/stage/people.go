package stage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/chat"
)

// Person is a user with a session who is a member of one channel.
type Person struct {
	ID      chat.UserID
	Token   string
	Channel int
}

// Population contains channels and their members, ordered by channel.
type Population struct {
	Channels []chat.ChannelID
	People   []Person
}

// Populate creates channels in the database, each with the given number of members.
func (s *Stage) Populate(ctx context.Context, channels, members int) (*Population, error) {
	rosters := make([][]int, channels)
	for i := range rosters {
		for j := range members {
			rosters[i] = append(rosters[i], i*members+j)
		}
	}
	p, err := s.Company(ctx, channels*members, rosters)
	if err != nil {
		return nil, err
	}
	for i := range p.People {
		p.People[i].Channel = i / members
	}
	return p, nil
}

// Company creates users in the database. For each roster, which is a list of user indexes, it
// creates a channel with these users as members. The Channel field of each Person is not used.
func (s *Stage) Company(ctx context.Context, people int, rosters [][]int) (*Population, error) {
	issuer := token.NewIssuer(s.key, 2*time.Hour)
	p := &Population{}
	var users, rooms, memberships [][]any
	for range people {
		one := Person{ID: chat.NewUserID()}
		var err error
		if one.Token, _, err = issuer.Issue(token.Claims{UserID: one.ID, SessionID: chat.NewSessionID(), Username: one.name()}); err != nil {
			return nil, err
		}
		p.People = append(p.People, one)
		users = append(users, []any{one.ID.UUID, one.name(), one.name() + "@example.test", "-"})
	}
	for _, roster := range rosters {
		c := chat.NewChannelID()
		p.Channels = append(p.Channels, c)
		rooms = append(rooms, []any{c.UUID, string(chat.Public), "load " + c.String()})
		for _, i := range roster {
			memberships = append(memberships, []any{c.UUID, p.People[i].ID.UUID})
		}
	}
	err := s.withDatabase(ctx, func(db *pgx.Conn) error {
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
				return fmt.Errorf("copy %s: %w", t.table, err)
			}
		}
		_, err := db.Exec(ctx, "analyze users, channels, channel_members")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("populate: %w", err)
	}
	return p, nil
}

// Crowd returns a Population that exists only in memory, for a floor (a minimal program that is
// measured for comparison) that uses no database.
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
