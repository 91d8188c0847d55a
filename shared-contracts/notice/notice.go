// Package notice defines the notices that the services publish on a user's topic for the gateways.
// They report changes that must take effect on open connections, such as changes to memberships and
// sessions. If a notice is lost, the gateways' periodic check detects the change.
package notice

import (
	"encoding/json"
	"fmt"

	"parley.chat/shared-contracts/chat"
)

// Kind is the kind of a Notice.
type Kind string

// The kinds of notices. A gateway ignores a kind that it does not know.
const (
	ChannelAdded   Kind = "channel_added"   // the user has become a member of ChannelID
	ChannelRemoved Kind = "channel_removed" // the user is no longer a member of ChannelID
	SessionRevoked Kind = "session_revoked" // SessionID has ended; its connections are closed
	SessionRenewed Kind = "session_renewed" // the token of SessionID was renewed and is valid until ExpiresAt
	EventFailed    Kind = "event_failed"    // an acknowledged event of the user could not be stored
	GroupChanged   Kind = "group_changed"   // GroupID or the user's membership in it has changed; see Change
	Invitation     Kind = "invitation"      // InvitationID is open for the user (Change is added) or no longer open (removed)
	Blocked        Kind = "blocked"         // one user has blocked or unblocked the other; By is the user who did so. Not sent to clients
	RoleChanged    Kind = "role_changed"    // the user's role in ChannelID has changed. Not sent to clients
)

// Notice is one message on a user's topic. Kind determines which other fields are set.
type Notice struct {
	Kind      Kind            `json:"kind"`
	UserID    chat.UserID     `json:"user_id"`
	ChannelID *chat.ChannelID `json:"channel_id,omitempty"`
	By        *chat.UserID    `json:"by,omitempty"`
	GroupID   *chat.GroupID   `json:"group_id,omitempty"`
	Change    string          `json:"change,omitempty"` // added, removed or updated

	InvitationID *chat.InvitationID `json:"invitation_id,omitempty"`

	SessionID *chat.SessionID `json:"session_id,omitempty"`
	ExpiresAt *chat.Time      `json:"expires_at,omitempty"`
	EventID   *chat.EventID   `json:"event_id,omitempty"`
	ClientID  *chat.ClientID  `json:"client_id,omitempty"`
	Seq       int64           `json:"seq,omitempty"`
	Reason    string          `json:"reason,omitempty"`
}

// Encode returns the JSON encoding of n.
func (n Notice) Encode() []byte {
	b, err := json.Marshal(n)
	if err != nil {
		panic("notice: " + err.Error()) // all field types can be encoded
	}
	return b
}

// Decode decodes a notice.
func Decode(b []byte) (Notice, error) {
	var n Notice
	if err := json.Unmarshal(b, &n); err != nil {
		return Notice{}, fmt.Errorf("decode notice: %w", err)
	}
	return n, nil
}
