// Package channel is the places to talk: making and finding them, coming and going.
//
// Every change of membership is one transaction: the row of the member and a row of the outbox, from
// which the event in the channel and the notice to the user come. Who was first is settled by
// constraints and locks, never by a look before.
package channel

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/httpapi"
)

// Config configures a Service. Every field but Logger is required.
type Config struct {
	API    *httpapi.API
	DB     *bun.DB
	Log    *eventlog.Log
	Poke   func()       // wakes the outbox's relay
	Logger *slog.Logger // default slog.Default()
}

// redisPatience bounds what a look into Redis may cost an answer that does without, too.
const redisPatience = time.Second

// Service is the feature. It is safe for concurrent use.
type Service struct{ cfg Config }

// New checks cfg and registers the endpoints.
func New(cfg Config) (*Service, error) {
	if cfg.API == nil || cfg.DB == nil || cfg.Log == nil || cfg.Poke == nil {
		return nil, errors.New("channel: a required field of Config is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Service{cfg: cfg}
	s.register()
	return s, nil
}

// row is a row of channels.
type row struct {
	bun.BaseModel `bun:"table:channels,alias:c"`

	ID          chat.ChannelID   `bun:"id,pk,type:uuid"`
	Kind        chat.ChannelKind `bun:"kind"`
	Name        string           `bun:"name"`
	Description string           `bun:"description"`
	GroupID     *string          `bun:"group_id,type:uuid"`
	CreatedBy   *chat.UserID     `bun:"created_by,type:uuid"`
	CreatedAt   time.Time        `bun:"created_at"`
}

// member is a row of channel_members.
type member struct {
	bun.BaseModel `bun:"table:channel_members,alias:m"`

	ChannelID   chat.ChannelID `bun:"channel_id,pk,type:uuid"`
	UserID      chat.UserID    `bun:"user_id,pk,type:uuid"`
	Role        chat.Role      `bun:"role"`
	JoinedSeq   int64          `bun:"joined_seq"`
	LastReadSeq int64          `bun:"last_read_seq"`
}

// Standing is how a user stands to a channel.
type Standing struct {
	Kind    chat.ChannelKind `bun:"kind"`
	Role    chat.Role        `bun:"role"`     // "" for one who is not a member
	Grouped bool             `bun:"grouped"`  // the channel belongs to a group
	InGroup bool             `bun:"in_group"` // of which the user is a member
}

// Member reports whether the user is a member.
func (s Standing) Member() bool { return s.Role != "" }

// MayJoin reports whether the user may come in without being asked.
func (s Standing) MayJoin() bool {
	if s.Grouped {
		return s.InGroup && s.Kind != chat.Direct
	}
	return s.Kind.OpenToAll()
}

// Hidden reports whether the user must not learn that the channel exists.
func (s Standing) Hidden() bool { return !s.Member() && !s.MayJoin() }

// errNoChannel is the one answer for what is not there and for what must stay hidden.
func errNoChannel() error { return apierr.New(apierr.NotFound, "no such channel") }

// Admit returns how user stands to a channel if they are a member. Others learn that they are not, or,
// of a channel that is hidden from them, nothing. Ids in paths are checked with it, never trusted.
func Admit(ctx context.Context, db bun.IDB, channel chat.ChannelID, user chat.UserID) (Standing, error) {
	st, err := standing(ctx, db, channel, user)
	if err != nil {
		return Standing{}, err
	}
	if !st.Member() {
		return Standing{}, apierr.New(apierr.Forbidden, "you are not a member of this channel: join it first")
	}
	return st, nil
}

// standing returns how user stands to a channel that is not hidden from them.
func standing(ctx context.Context, db bun.IDB, channel chat.ChannelID, user chat.UserID) (Standing, error) {
	var st Standing
	err := db.NewRaw(`select c.kind, coalesce(m.role, '') as role, c.group_id is not null as grouped, g.user_id is not null as in_group
		from channels c
		left join channel_members m on m.channel_id = c.id and m.user_id = ?
		left join group_members g on g.group_id = c.group_id and g.user_id = ?
		where c.id = ? and c.deleted_at is null`, user, user, channel).Scan(ctx, &st)
	if errors.Is(err, sql.ErrNoRows) {
		return Standing{}, errNoChannel()
	}
	if err != nil {
		return Standing{}, fmt.Errorf("find user %s in channel %s: %w", user, channel, err)
	}
	if st.Hidden() {
		return Standing{}, errNoChannel()
	}
	return st, nil
}
