package frame

import (
	"strconv"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// Heartbeat is the interval at which the server sends pings.
const Heartbeat = 25 * time.Second

// The frames that the server sends, except events. Encode adds the type field.
type (
	// Hello is the first frame after authentication.
	Hello struct {
		ConnectionID     string           `json:"connection_id"`
		SessionID        chat.SessionID   `json:"session_id"`
		UserID           chat.UserID      `json:"user_id"`
		ServerTime       chat.Time        `json:"server_time"`
		HeartbeatSeconds int              `json:"heartbeat_seconds"`
		Limits           Limits           `json:"limits"`
		Channels         []ChannelSummary `json:"channels"`
		// NotFollowed is the number of channels that the connection does not follow, because the
		// user is in too many channels.
		NotFollowed int `json:"not_followed,omitempty"`
	}
	// Limits contains the server's limits on messages.
	Limits struct {
		MaxBodyBytes     int `json:"max_body_bytes"`
		RateMessages     int `json:"rate_messages"`
		RateSeconds      int `json:"rate_seconds"`
		RateBlockSeconds int `json:"rate_block_seconds"`
	}
	// ChannelSummary describes a channel to one of its members.
	ChannelSummary struct {
		ChannelID        chat.ChannelID   `json:"channel_id"`
		Name             string           `json:"name"`
		Kind             chat.ChannelKind `json:"kind"`
		LastSeq          int64            `json:"last_seq"`
		LastReadSeq      int64            `json:"last_read_seq"`
		LastDeliveredSeq int64            `json:"last_delivered_seq"`
		Unread           int              `json:"unread"`
		UnreadMentions   int              `json:"unread_mentions"`
		Epoch            string           `json:"epoch"`
		NotFollowed      bool             `json:"not_followed,omitempty"` // the user has too many channels: the client must subscribe to this one when it needs it
	}
	// HelloMore contains further channels if the user is in more than HelloChannels channels.
	HelloMore struct {
		Channels []ChannelSummary `json:"channels"`
	}
	// Subscribed answers a subscribe frame. The channel's events follow it.
	Subscribed struct {
		Ref       string         `json:"ref,omitempty"`
		ChannelID chat.ChannelID `json:"channel_id"`
		LastSeq   int64          `json:"last_seq"`
		Epoch     string         `json:"epoch"`
		Recovered bool           `json:"recovered"`
		HasMore   bool           `json:"has_more"`
	}
	// Unsubscribed answers Unsubscribe.
	Unsubscribed struct {
		Ref       string         `json:"ref,omitempty"`
		ChannelID chat.ChannelID `json:"channel_id"`
	}
	// Ack answers a frame that appends an event. It means that the event is durable.
	Ack struct {
		Ref       string         `json:"ref,omitempty"`
		ChannelID chat.ChannelID `json:"channel_id"`
		ClientID  chat.ClientID  `json:"client_id"`
		ID        chat.EventID   `json:"id"`
		Seq       int64          `json:"seq"`
		SentAt    chat.Time      `json:"sent_at"`
		Duplicate bool           `json:"duplicate"`
	}
	// Error answers a frame that could not be processed.
	Error struct {
		Ref          string      `json:"ref,omitempty"`
		Code         apierr.Code `json:"code"`
		Message      string      `json:"message"`
		RetryAfterMS int64       `json:"retry_after_ms,omitempty"`
		// Errors lists the invalid fields of the frame.
		Errors []apierr.FieldError `json:"errors,omitempty"`
		// ChannelID is set in answers to subscribe frames, because these may name several channels.
		ChannelID *chat.ChannelID `json:"channel_id,omitempty"`
	}
	// FailedEvent informs the sender that an acknowledged event could not be stored.
	FailedEvent struct {
		ChannelID chat.ChannelID `json:"channel_id"`
		ID        chat.EventID   `json:"id"`
		Seq       int64          `json:"seq"`
		ClientID  chat.ClientID  `json:"client_id"`
		Reason    string         `json:"reason"`
	}
	// Membership informs a user that they have joined or left a channel.
	Membership struct {
		ChannelID chat.ChannelID  `json:"channel_id"`
		Change    string          `json:"change"` // added or removed
		By        chat.UserID     `json:"by"`
		Channel   *ChannelSummary `json:"channel,omitempty"`
	}
	// InvitationNotice informs a user that they have been invited to a channel or group (added), or
	// that an invitation no longer exists (removed).
	InvitationNotice struct {
		InvitationID chat.InvitationID `json:"invitation_id"`
		Change       string            `json:"change"`
		By           chat.UserID       `json:"by"`
	}
	// GroupNotice informs a user that they have joined or left a group, or that the group has
	// changed.
	GroupNotice struct {
		GroupID chat.GroupID `json:"group_id"`
		Change  string       `json:"change"` // added, removed or updated
		By      chat.UserID  `json:"by"`
	}
	// Resync informs a subscriber that the channel's numbering has restarted. Events that the
	// subscriber has received may no longer exist.
	Resync struct {
		Ref       string         `json:"ref,omitempty"`
		ChannelID chat.ChannelID `json:"channel_id"`
		Epoch     string         `json:"epoch"`
		LastSeq   int64          `json:"last_seq"`
	}
	// TypingNotice informs subscribers that a member has started or stopped typing.
	TypingNotice struct {
		ChannelID chat.ChannelID `json:"channel_id"`
		UserID    chat.UserID    `json:"user_id"`
		Typing    bool           `json:"typing"`
	}
	// PresenceNotice reports to subscribers which users have come online or gone offline. It also
	// answers presence frames.
	PresenceNotice struct {
		ChannelID   chat.ChannelID `json:"channel_id"`
		OnlineCount int            `json:"online_count"`
		Joined      []chat.UserID  `json:"joined"`
		Left        []chat.UserID  `json:"left"`
		Next        string         `json:"next,omitempty"` // in an answer: cursor for the next page, if the channel is large
		Ref         string         `json:"ref,omitempty"`
	}
	// Receipt reports a member's receipt to subscribers: the seqs up to which the member has
	// received and read the channel's events.
	Receipt struct {
		ChannelID    chat.ChannelID `json:"channel_id"`
		UserID       chat.UserID    `json:"user_id"`
		DeliveredSeq int64          `json:"delivered_seq"`
		ReadSeq      int64          `json:"read_seq"`
	}
	// ReceiptCounts reports to the sender of the message at seq how many other members have
	// received the message, and how many have read it. It is used only in large channels.
	ReceiptCounts struct {
		ChannelID      chat.ChannelID `json:"channel_id"`
		Seq            int64          `json:"seq"`
		DeliveredCount int            `json:"delivered_count"`
		ReadCount      int            `json:"read_count"`
		MemberCount    int            `json:"member_count"`
	}
	// Pong answers Ping.
	Pong struct {
		Ref string `json:"ref,omitempty"`
	}
)

// HelloChannels is the maximum number of channels in a hello frame. The other channels follow in
// hello_more frames.
const HelloChannels = 200

// Server is any of the frames above.
type Server interface{ frameType() string }

func (Hello) frameType() string            { return "hello" }
func (HelloMore) frameType() string        { return "hello_more" }
func (Subscribed) frameType() string       { return "subscribed" }
func (Unsubscribed) frameType() string     { return "unsubscribed" }
func (Ack) frameType() string              { return "ack" }
func (Error) frameType() string            { return "error" }
func (FailedEvent) frameType() string      { return "failed" }
func (Membership) frameType() string       { return "membership" }
func (GroupNotice) frameType() string      { return "group" }
func (InvitationNotice) frameType() string { return "invitation" }
func (Resync) frameType() string           { return "resync" }
func (TypingNotice) frameType() string     { return "typing" }
func (PresenceNotice) frameType() string   { return "presence" }
func (Receipt) frameType() string          { return "receipt" }
func (ReceiptCounts) frameType() string    { return "receipt_counts" }
func (Pong) frameType() string             { return "pong" }

// Encode returns the encoded frame. It panics if f cannot be encoded as JSON, which cannot happen
// for the types above.
func Encode(f Server) []byte {
	switch v := f.(type) { // encode an empty list as [], never as null
	case Ack:
		return v.AppendTo(make([]byte, 0, 320+len(v.Ref)))
	case Hello:
		v.Channels = listed(v.Channels)
		f = v
	case HelloMore:
		v.Channels = listed(v.Channels)
		f = v
	case PresenceNotice:
		v.Joined, v.Left = listed(v.Joined), listed(v.Left)
		f = v
	}
	b, err := encode(f)
	if err != nil {
		panic("frame: " + err.Error())
	}
	head := `{"type":"` + f.frameType() + `"`
	if string(b) == "{}" {
		return append([]byte(head), '}')
	}
	out := make([]byte, 0, len(head)+len(b))
	out = append(append(out, head...), ',')
	return append(out, b[1:]...)
}

// listed returns s, or an empty slice if s is nil.
func listed[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// ErrorOf returns the error frame for err. It answers the frame with the given ref.
func ErrorOf(ref string, err error) Error {
	e := apierr.Of(err)
	return Error{Ref: ref, Code: e.Code, Message: e.Message, RetryAfterMS: e.RetryAfter.Milliseconds(), Errors: e.Fields}
}

// Join inserts seq between the two parts of an event's frame.
func Join(before []byte, seq int64, after []byte) []byte {
	b := make([]byte, 0, len(before)+20+len(after))
	b = append(b, before...)
	b = strconv.AppendInt(b, seq, 10)
	return append(b, after...)
}
