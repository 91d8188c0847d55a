// Package outbox implements the transactional outbox. It publishes the changes of a transaction to
// Redis after the commit: events to channels, and notices to users.
//
// A feature adds rows with Add in its own transaction. A Relay publishes the rows and then deletes
// them. It processes a channel's rows in the order of their ids. Any number of relays in any number
// of processes may run. If a relay crashes between the append and the delete, the row is relayed
// again. That is harmless, because the row's event id is the append's idempotency key. A notice may
// be sent twice.
//
// A channel's rows are in the order of their transactions only if these transactions exclude each
// other. Therefore, call Add only after the transaction has locked the object that the row
// describes.
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

// Kind is the kind of change that a row describes.
type Kind string

// The kinds of rows.
const (
	MemberJoined   = Kind(event.MemberJoined)   // subject joined channel or was added by actor; payload Member
	MemberLeft     = Kind(event.MemberLeft)     // subject left channel or was removed by actor; payload Member
	Unreacted      = Kind(event.Reaction)       // actor removed one of subject's reactions; payload Reaction
	ChannelUpdated = Kind(event.ChannelUpdated) // the channel's settings changed; payload: the new settings
	DirectOpened   = Kind("direct_opened")      // channel was created by open_direct_channel; payload Direct
	SessionRevoked = Kind("session_revoked")    // one of subject's sessions ended; payload Session
	ChannelClosed  = Kind("channel_closed")     // channel was deleted; the payload Users lists the users to notify
	GroupChanged   = Kind("group_changed")      // subject is a group that changed; the payload Group lists the users to notify
	Invited        = Kind("invited")            // an invitation for subject was created or ended; payload Invitation
	Blocked        = Kind("blocked")            // actor blocked subject or lifted the block
)

// The types of the payloads.
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
		Change  string        `json:"change"` // added, removed or updated, as in the notice
	}
	// Invitation is the payload of Invited.
	Invitation struct {
		InvitationID chat.InvitationID `json:"invitation_id"`
		Change       string            `json:"change"` // added or removed, as in the notice
	}
	// Session is the payload of SessionRevoked.
	Session struct {
		SessionID chat.SessionID `json:"session_id"`
	}
)

// Row is a row of the outbox table: a change that has not been published yet.
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

// Membership returns a row for a change to a membership.
func Membership(kind Kind, channel chat.ChannelID, actor, subject chat.UserID, username string) Row {
	return Row{Kind: kind, ChannelID: &channel, ActorID: &actor, SubjectID: &subject, Payload: payload(Member{username})}
}

// Unreact returns a row for a user's reaction that a moderator has removed.
func Unreact(channel chat.ChannelID, actor, user chat.UserID, r Reaction) Row {
	return Row{Kind: Unreacted, ChannelID: &channel, ActorID: &actor, SubjectID: &user, Payload: payload(r)}
}

// roleChange is the part of an Update's payload that describes a member's new role.
type roleChange struct {
	Member *struct {
		UserID chat.UserID `json:"user_id"`
		Role   chat.Role   `json:"role"`
	} `json:"member,omitempty"`
}

// RoleChange returns a row for a change to the role of a channel member. The relay also sends a
// notice to the member's gateways, because they cache roles.
func RoleChange(channel chat.ChannelID, actor, member chat.UserID, to chat.Role) Row {
	return Update(channel, actor, map[string]any{"member": map[string]any{"user_id": member, "role": to}})
}

// Update returns a row for a change to a channel. The payload, what, describes the change for the
// channel's members.
func Update(channel chat.ChannelID, actor chat.UserID, what any) Row {
	return Row{Kind: ChannelUpdated, ChannelID: &channel, ActorID: &actor, Payload: payload(what)}
}

// GroupChange returns a row for a change to a group that affects the given users.
func GroupChange(group chat.GroupID, actor chat.UserID, change string, users ...chat.UserID) Row {
	return Row{Kind: GroupChanged, ActorID: &actor, SubjectID: &chat.UserID{UUID: group.UUID}, Payload: payload(Group{users, change})}
}

// usersPerRow limits the number of users in a row. Each user gets a notice, and a row is relayed as
// a whole.
const usersPerRow = 500

// AddClosed adds the rows that notify a channel's current members of its deletion.
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

// AddGroupChange adds the rows that notify a group's current members of a change.
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

// Invite returns a row for a change to an invitation to the user subject. change is "added" if the
// invitation was created, or "removed" if it has ended.
func Invite(id chat.InvitationID, actor, subject chat.UserID, change string) Row {
	return Row{Kind: Invited, ActorID: &actor, SubjectID: &subject, Payload: payload(Invitation{id, change})}
}

// Block returns a row for a block that a user has created or lifted. Both users' gateways then read
// the block again.
func Block(actor, subject chat.UserID) Row {
	return Row{Kind: Blocked, ActorID: &actor, SubjectID: &subject, Payload: payload(struct{}{})}
}

func payload(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("outbox: " + err.Error()) // ids and strings can always be encoded
	}
	return b
}

// Add adds rows in the caller's transaction. The caller must poke a relay after the commit.
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
