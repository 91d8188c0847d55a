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
	ChannelUpdated = Kind(event.ChannelUpdated) // channel is other than it was; payload: what it is now
	DirectOpened   = Kind("direct_opened")      // channel is new; written by open_direct_channel; payload Direct
	SessionRevoked = Kind("session_revoked")    // a session of subject has ended; payload Session
)

// The payloads.
type (
	// Member is the payload of MemberJoined and MemberLeft.
	Member struct {
		Username string `json:"username"`
	}
	// Direct is the payload of DirectOpened.
	Direct struct {
		UserIDs []chat.UserID `json:"user_ids"`
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

// Revocation returns a row for a session that has ended.
func Revocation(user chat.UserID, session chat.SessionID) Row {
	return Row{Kind: SessionRevoked, ActorID: &user, SubjectID: &user, Payload: payload(Session{session})}
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
