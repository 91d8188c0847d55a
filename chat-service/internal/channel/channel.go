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
	"parley.chat/internal/ratelimit"
	"parley.chat/internal/unread"
	"parley.chat/internal/unstored"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// Config configures a Service. Limits, DB, Log and Poke are required.
type Config struct {
	DB     *bun.DB
	Log    *eventlog.Log
	Limits Limits
	Poke   func() // wakes the outbox's relay

	MaxMemberships int  // channels that one user can be in; 0: no limit
	AskStrangers   bool // users whom the inviter does not know are invited, not added

	Logger *slog.Logger // default slog.Default()
}

// Limits counts how often somebody comes into a channel. It is a *ratelimit.Limiter.
type Limits interface {
	Take(ctx context.Context, uses ...ratelimit.Use) ([]ratelimit.State, error)
}

// redisPatience bounds what a look into Redis may cost an answer that does without, too.
const redisPatience = time.Second

// Service is the feature. It is safe for concurrent use.
type Service struct {
	cfg     Config
	counter *unread.Counter
}

// New checks cfg.
func New(cfg Config) (*Service, error) {
	if cfg.DB == nil || cfg.Log == nil || cfg.Limits == nil || cfg.Poke == nil {
		return nil, errors.New("channel: a required field of Config is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	counter, err := unread.New(unread.Config{DB: cfg.DB, Log: cfg.Log, Patience: redisPatience, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	return &Service{cfg, counter}, nil
}

// row is a row of channels.
type row struct {
	bun.BaseModel `bun:"table:channels,alias:c"`

	ID          chat.ChannelID   `bun:"id,pk,type:uuid"`
	Kind        chat.ChannelKind `bun:"kind"`
	Name        string           `bun:"name"`
	Lookalike   string           `bun:"lookalike,nullzero"`
	Description string           `bun:"description"`
	GroupID     *chat.GroupID    `bun:"group_id,type:uuid"`
	CreatedBy   *chat.UserID     `bun:"created_by,type:uuid"`
	CreatedAt   time.Time        `bun:"created_at"`
	MentionAll  chat.MentionAll  `bun:"mention_all"`
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
	Role    chat.Role        `bun:"role"`               // "" for one who is not a member
	GroupID *chat.GroupID    `bun:"group_id,type:uuid"` // nil: the channel belongs to no group
	InGroup bool             `bun:"in_group"`           // the user is a member of the channel's group

	// Arriving: the user is a member, and the channel's log does not have their member_joined event yet.
	Arriving bool `bun:"arriving"`
}

// Member reports whether the user is a member.
func (s Standing) Member() bool { return s.Role != "" }

// MayJoin reports whether the user may come in without being asked. A group's channel is open to the
// group alone.
func (s Standing) MayJoin() bool {
	return s.Kind.OpenToAll() && (s.GroupID == nil || s.InGroup)
}

// Hidden reports whether the user must not learn that the channel exists.
func (s Standing) Hidden() bool { return !s.Member() && !s.MayJoin() }

// Allow returns an error unless the user may do act in the channel.
func (s Standing) Allow(act chat.Act) error {
	if s.Role.MayIn(s.Kind, act) {
		return nil
	}
	if s.Kind == chat.Direct {
		return apierr.New(apierr.Forbidden, "a direct channel has its two members and nothing to change")
	}
	return apierr.New(apierr.Forbidden, "your role in this channel (%s) does not allow that", s.Role)
}

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

// AdmitReader is Admit for who goes on to read the channel's log: with the watermark of its partition,
// which is to be read before the tail, and so at the price of nothing.
func AdmitReader(ctx context.Context, db bun.IDB, log *eventlog.Log, channel chat.ChannelID, user chat.UserID) (unstored.Mark, error) {
	var found []struct {
		Role chat.Role `bun:"role"`
		unstored.Mark
	}
	err := db.NewRaw(`select m.role, coalesce(w.entry_ms, 0) as entry_ms, coalesce(w.entry_seq, 0) as entry_seq
		from channels c join channel_members m on m.channel_id = c.id and m.user_id = ?
		left join sync_watermarks w on w.partition = ?
		where c.id = ? and c.deleted_at is null`, user, log.Partition(channel.UUID), channel).Scan(ctx, &found)
	if err != nil {
		return unstored.Mark{}, fmt.Errorf("find user %s in channel %s: %w", user, channel, err)
	}
	if len(found) > 0 && found[0].Role.May(chat.Read) {
		return found[0].Mark, nil
	}
	if _, err := Admit(ctx, db, channel, user); err != nil { // says why
		return unstored.Mark{}, err
	}
	return unstored.MarkOf(ctx, db, log.Partition(channel.UUID)) // came in just now
}

// standing returns how user stands to a channel that is not hidden from them.
func standing(ctx context.Context, db bun.IDB, channel chat.ChannelID, user chat.UserID) (Standing, error) {
	var st Standing
	err := db.NewRaw(`select c.kind, coalesce(m.role, '') as role, c.group_id, g.user_id is not null as in_group,
			exists (select from outbox o where coalesce(o.channel_id, o.subject_id) = c.id
				and o.channel_id = c.id and o.subject_id = m.user_id and o.kind = 'member_joined') as arriving
		from channels c
		left join channel_members m on m.channel_id = c.id and m.user_id = ?
		left join group_members g on g.group_id = c.group_id and g.user_id = ?
		where c.id = ? and c.deleted_at is null and c.archived_at is null`, user, user, channel).Scan(ctx, &st)
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
