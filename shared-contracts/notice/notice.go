// Package notice is what the services tell the gateways of one user, over the user's topic: facts
// about membership and sessions that must take effect on open connections. A notice that is lost is
// made up for by the gateways' periodic check.
package notice

import (
	"encoding/json"
	"fmt"

	"parley.chat/shared-contracts/chat"
)

// Kind says what a Notice tells.
type Kind string

// The kinds of notice. A gateway ignores a kind that it does not know.
const (
	ChannelAdded   Kind = "channel_added"   // the user is a member of ChannelID now
	ChannelRemoved Kind = "channel_removed" // and now no longer
	SessionRevoked Kind = "session_revoked" // SessionID has ended: its connections close
	SessionRenewed Kind = "session_renewed" // SessionID's token was renewed until ExpiresAt
	EventFailed    Kind = "event_failed"    // an acknowledged event of the user could not be stored
	GroupChanged   Kind = "group_changed"   // GroupID is other than it was for the user: Change says how
	Invitation     Kind = "invitation"      // InvitationID is open for the user (Change added), or is no more (removed)
	Blocked        Kind = "blocked"         // By has blocked somebody or lifted a block, and either of the two is the user; no client is told
	RoleChanged    Kind = "role_changed"    // the user has another role in ChannelID than before; no client is told
)

// Notice is one message of a user's topic. Which fields are set depends on its kind.
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

// Encode returns the bytes of n.
func (n Notice) Encode() []byte {
	b, err := json.Marshal(n)
	if err != nil {
		panic("notice: " + err.Error()) // none of its types can fail
	}
	return b
}

// Decode reads a notice.
func Decode(b []byte) (Notice, error) {
	var n Notice
	if err := json.Unmarshal(b, &n); err != nil {
		return Notice{}, fmt.Errorf("decode notice: %w", err)
	}
	return n, nil
}
