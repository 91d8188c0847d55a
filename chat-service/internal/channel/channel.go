// Package channel implements channels. Users can create, find, join and leave them.
//
// Every change to a membership is one transaction. It changes the member's row and adds an outbox
// row, from which the channel's event and the user's notice are published. Constraints and locks
// decide which of two concurrent changes comes first; no decision relies on an earlier read.
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
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/eventlog/unread"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// Config configures a Service. DB, Log, Receipts, Limits and Poke are required.
type Config struct {
	DB       *bun.DB
	Log      *eventlog.Log
	Receipts *receiptlog.Log
	Limits   Limits
	Poke     func() // wakes the outbox relay

	MaxMemberships int  // maximum number of channels per user; 0 means no limit
	AskStrangers   bool // whether a user unknown to the inviter is invited instead of added

	Logger *slog.Logger // default slog.Default()
}

// Limits counts how often users enter a channel. *ratelimit.Limiter implements it.
type Limits interface {
	Take(ctx context.Context, uses ...ratelimit.Use) ([]ratelimit.State, error)
}

// redisTimeout limits the time that a request waits for Redis if its response does not require
// Redis.
const redisTimeout = time.Second

// Service implements the endpoints for channels and their members. It is safe for concurrent use.
type Service struct {
	cfg     Config
	counter *unread.Counter
}

// New validates cfg and returns a Service.
func New(cfg Config) (*Service, error) {
	if cfg.DB == nil || cfg.Log == nil || cfg.Receipts == nil || cfg.Limits == nil || cfg.Poke == nil {
		return nil, errors.New("channel: a required field of Config is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	counter, err := unread.New(unread.Config{DB: cfg.DB, Log: cfg.Log, RedisTimeout: redisTimeout, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	return &Service{cfg, counter}, nil
}

// row is a row of the channels table.
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

// member is a row of the channel_members table.
type member struct {
	bun.BaseModel `bun:"table:channel_members,alias:m"`

	ChannelID   chat.ChannelID `bun:"channel_id,pk,type:uuid"`
	UserID      chat.UserID    `bun:"user_id,pk,type:uuid"`
	Role        chat.Role      `bun:"role"`
	JoinedSeq   int64          `bun:"joined_seq"`
	LastReadSeq int64          `bun:"last_read_seq"`
}

// Access describes what a user may do in a channel.
type Access struct {
	Kind    chat.ChannelKind `bun:"kind"`
	Role    chat.Role        `bun:"role"`               // "" if the user is not a member
	GroupID *chat.GroupID    `bun:"group_id,type:uuid"` // nil if the channel does not belong to a group
	InGroup bool             `bun:"in_group"`           // whether the user is a member of the channel's group

	// Arriving is true if the user is a member, but the channel's log does not contain their
	// member_joined event yet.
	Arriving bool `bun:"arriving"`
}

// Member reports whether the user is a member.
func (a Access) Member() bool { return a.Role != "" }

// MayJoin reports whether the user may join without an invitation. A channel of a group is open
// only to members of the group.
func (a Access) MayJoin() bool {
	return a.Kind.OpenToAll() && (a.GroupID == nil || a.InGroup)
}

// Hidden reports whether the user must not learn that the channel exists.
func (a Access) Hidden() bool { return !a.Member() && !a.MayJoin() }

// Allow returns an error unless the user may perform act in the channel.
func (a Access) Allow(act chat.Action) error {
	if a.Role.MayIn(a.Kind, act) {
		return nil
	}
	if a.Kind == chat.Direct {
		return apierr.New(apierr.Forbidden, "A direct channel always has the same two members and cannot be changed.")
	}
	return apierr.New(apierr.Forbidden, "Your role in this channel (%s) does not allow this.", a.Role)
}

// errNoChannel returns the error for a channel that does not exist or is hidden from the user. A
// client must not be able to distinguish the two cases.
func errNoChannel() error { return apierr.New(apierr.NotFound, "This channel does not exist.") }

// Admit returns a member's access to a channel. For any other user, it returns an error that does
// not reveal the existence of a hidden channel. Every handler checks the channel id in its path
// with Admit.
func Admit(ctx context.Context, db bun.IDB, channel chat.ChannelID, user chat.UserID) (Access, error) {
	access, err := accessOf(ctx, db, channel, user)
	if err != nil {
		return Access{}, err
	}
	if !access.Member() {
		return Access{}, apierr.New(apierr.Forbidden, "You are not a member of this channel. Join it first.")
	}
	return access, nil
}

// AdmitReader checks, like Admit, that a user may read the channel's log. It returns the watermark
// of the channel's partition, which must be read before the tail. Usually, one query reads both the
// access and the watermark, which saves a round trip.
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
	if _, err := Admit(ctx, db, channel, user); err != nil { // returns the reason
		return unstored.Mark{}, err
	}
	return unstored.MarkOf(ctx, db, log.Partition(channel.UUID)) // the user has just joined
}

// accessOf returns a user's access to a channel, or errNoChannel if the channel is hidden from the
// user.
func accessOf(ctx context.Context, db bun.IDB, channel chat.ChannelID, user chat.UserID) (Access, error) {
	var access Access
	err := db.NewRaw(`select c.kind, coalesce(m.role, '') as role, c.group_id, g.user_id is not null as in_group,
			exists (select from outbox o where coalesce(o.channel_id, o.subject_id) = c.id
				and o.channel_id = c.id and o.subject_id = m.user_id and o.kind = 'member_joined') as arriving
		from channels c
		left join channel_members m on m.channel_id = c.id and m.user_id = ?
		left join group_members g on g.group_id = c.group_id and g.user_id = ?
		where c.id = ? and c.deleted_at is null and c.archived_at is null`, user, user, channel).Scan(ctx, &access)
	if errors.Is(err, sql.ErrNoRows) {
		return Access{}, errNoChannel()
	}
	if err != nil {
		return Access{}, fmt.Errorf("find user %s in channel %s: %w", user, channel, err)
	}
	if access.Hidden() {
		return Access{}, errNoChannel()
	}
	return access, nil
}
