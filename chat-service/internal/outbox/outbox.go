// Package outbox carries what a transaction has changed to Redis once it has committed: events into
// their channels, notices to the users whom they concern.
//
// A feature writes rows with Add in its own transaction. A Relay appends, notifies and then deletes
// them, those of a channel in the order of their ids; any number of relays in any number of processes
// may run. What dies between the append and the delete is relayed again, and the row's event id, which
// is the idempotency key of the append, makes that harmless. A notice may come twice.
//
// The rows of a channel keep the order of their transactions only as far as these lock each other out:
// add a row after the statement that locks what it tells of.
package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// Kind says what a row tells.
type Kind string

// The kinds of row.
const (
	MemberJoined   = Kind(event.MemberJoined)   // subject came into channel, actor did it; payload Member
	MemberLeft     = Kind(event.MemberLeft)     // subject left channel, actor did it; payload Member
	Unreacted      = Kind(event.Reaction)       // actor has removed a reaction of subject; payload Reaction
	ChannelUpdated = Kind(event.ChannelUpdated) // channel is other than it was; payload: what it is now
	DirectOpened   = Kind("direct_opened")      // channel is new; written by open_direct_channel; payload Direct
	SessionRevoked = Kind("session_revoked")    // a session of subject has ended; payload Session
	ChannelClosed  = Kind("channel_closed")     // users have lost channel, which is gone; payload Users
	GroupChanged   = Kind("group_changed")      // a group, the subject, is other than it was for users; payload Group
	Invited        = Kind("invited")            // an invitation of subject is open or is no more; payload Invitation
	Blocked        = Kind("blocked")            // actor has blocked subject, or lifted the block
)

// The payloads.
type (
	// Member is the payload of MemberJoined and MemberLeft.
	Member struct {
		Username string `json:"username"`
	}
	// Reaction is the payload of Unreacted.
	Reaction struct {
		MessageID chat.EventID `json:"message_id"`
		Emoji     string       `json:"emoji"`
	}
	// Direct is the payload of DirectOpened.
	Direct struct {
		UserIDs []chat.UserID `json:"user_ids"`
	}
	// Users is the payload of ChannelClosed.
	Users struct {
		UserIDs []chat.UserID `json:"user_ids"`
	}
	// Group is the payload of GroupChanged.
	Group struct {
		UserIDs []chat.UserID `json:"user_ids"`
		Change  string        `json:"change"` // added, removed or updated, as the notice says it
	}
	// Invitation is the payload of Invited.
	Invitation struct {
		InvitationID chat.InvitationID `json:"invitation_id"`
		Change       string            `json:"change"` // added or removed, as the notice says it
	}
	// Session is the payload of SessionRevoked.
	Session struct {
		SessionID chat.SessionID `json:"session_id"`
	}
)

// Row is a fact on its way to Redis.
type Row struct {
	bun.BaseModel `bun:"table:outbox,alias:o"`

	ID        int64           `bun:"id,pk,autoincrement"`
	Kind      Kind            `bun:"kind"`
	EventID   chat.EventID    `bun:"event_id,type:uuid"`
	ChannelID *chat.ChannelID `bun:"channel_id,type:uuid"`
	ActorID   *chat.UserID    `bun:"actor_id,type:uuid"`
	SubjectID *chat.UserID    `bun:"subject_id,type:uuid"`
	Payload   json.RawMessage `bun:"payload,type:jsonb"`
	CreatedAt time.Time       `bun:"created_at"`
}

// Membership returns a row for a change of membership.
func Membership(kind Kind, channel chat.ChannelID, actor, subject chat.UserID, username string) Row {
	return Row{Kind: kind, ChannelID: &channel, ActorID: &actor, SubjectID: &subject, Payload: payload(Member{username})}
}

// Unreact returns a row for a reaction of a user that a moderator has removed.
func Unreact(channel chat.ChannelID, actor, user chat.UserID, r Reaction) Row {
	return Row{Kind: Unreacted, ChannelID: &channel, ActorID: &actor, SubjectID: &user, Payload: payload(r)}
}

// role is the part of an Update's payload that tells of a member's new role.
type role struct {
	Member *struct {
		UserID chat.UserID `json:"user_id"`
		Role   chat.Role   `json:"role"`
	} `json:"member,omitempty"`
}

// RoleChange returns a row for a member of a channel who has another role now. The relay also notifies the
// gateways of that member, which remember roles for a while.
func RoleChange(channel chat.ChannelID, actor, member chat.UserID, to chat.Role) Row {
	return Update(channel, actor, map[string]any{"member": map[string]any{"user_id": member, "role": to}})
}

// Update returns a row for a channel that was changed: what is the object that members are shown.
func Update(channel chat.ChannelID, actor chat.UserID, what any) Row {
	return Row{Kind: ChannelUpdated, ChannelID: &channel, ActorID: &actor, Payload: payload(what)}
}

// GroupChange returns a row for a change of a group that concerns users.
func GroupChange(group chat.GroupID, actor chat.UserID, change string, users ...chat.UserID) Row {
	return Row{Kind: GroupChanged, ActorID: &actor, SubjectID: &chat.UserID{UUID: group.UUID}, Payload: payload(Group{users, change})}
}

// usersPerRow bounds a row that tells many users: each has its notice, and a row is relayed as a whole.
const usersPerRow = 500

// AddClosed writes the rows that tell the members of a channel, as they are now, that it is gone.
func AddClosed(ctx context.Context, tx bun.Tx, channel chat.ChannelID, actor chat.UserID) error {
	_, err := tx.NewRaw(`insert into outbox (kind, channel_id, actor_id, payload)
		select ?, ?, ?, jsonb_build_object('user_ids', jsonb_agg(user_id))
		from (select user_id, (row_number() over (order by user_id) - 1) / ? as page from channel_members where channel_id = ?) m
		group by page order by page`, ChannelClosed, channel, actor, usersPerRow, channel).Exec(ctx)
	if err != nil {
		return fmt.Errorf("write outbox rows of a closed channel: %w", err)
	}
	return nil
}

// AddGroupChange writes the rows that tell the members of a group, as they are now, of a change.
func AddGroupChange(ctx context.Context, tx bun.Tx, group chat.GroupID, actor chat.UserID, change string) error {
	_, err := tx.NewRaw(`insert into outbox (kind, subject_id, actor_id, payload)
		select ?, ?, ?, jsonb_build_object('change', ?::text, 'user_ids', jsonb_agg(user_id))
		from (select user_id, (row_number() over (order by user_id) - 1) / ? as page from group_members where group_id = ?) m
		group by page order by page`, GroupChanged, group, actor, change, usersPerRow, group).Exec(ctx)
	if err != nil {
		return fmt.Errorf("write outbox rows of a changed group: %w", err)
	}
	return nil
}

// Revocation returns a row for a session that has ended.
func Revocation(user chat.UserID, session chat.SessionID) Row {
	return Row{Kind: SessionRevoked, ActorID: &user, SubjectID: &user, Payload: payload(Session{session})}
}

// Invite returns a row for an invitation of a user that is open (added) or is no more (removed).
func Invite(id chat.InvitationID, actor, subject chat.UserID, change string) Row {
	return Row{Kind: Invited, ActorID: &actor, SubjectID: &subject, Payload: payload(Invitation{id, change})}
}

// Block returns a row for a user who has blocked another, or lifted the block: the gateways of both read
// again how the two stand.
func Block(actor, subject chat.UserID) Row {
	return Row{Kind: Blocked, ActorID: &actor, SubjectID: &subject, Payload: payload(struct{}{})}
}

func payload(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("outbox: " + err.Error()) // ids and names cannot fail
	}
	return b
}

// Add writes rows in the caller's transaction. The caller pokes a relay after its commit.
func Add(ctx context.Context, tx bun.Tx, rows ...Row) error {
	if len(rows) == 0 {
		return nil
	}
	for i := range rows {
		rows[i].EventID, rows[i].CreatedAt = chat.NewEventID(), chat.Now().Time
	}
	if _, err := tx.NewInsert().Model(&rows).ExcludeColumn("id").Exec(ctx); err != nil {
		return fmt.Errorf("write %d outbox rows: %w", len(rows), err)
	}
	return nil
}
