package client

import (
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// Event is a value that the client delivers to the caller. Its type is one of the types in this
// file.
type Event interface{ clientEvent() }

// The types that an Event can have. Server events without a seq are ephemeral, and clients may miss
// them.
type (
	// ChannelEvent is an event in a channel's log, such as a message, an edit, a reaction or a
	// member joining. Each seq in a channel is delivered once, in order. Seq and Epoch form a
	// Position that the caller can store.
	ChannelEvent struct {
		frame.Event
		Epoch string
		Mine  bool // whether this user caused the event, in this client or another one
	}
	// Joined reports that the client has started to follow a channel. The first event delivered is
	// the one after From; earlier events are in the history.
	Joined struct {
		Channel frame.ChannelSummary
		From    Position
	}
	// Left reports that the client has stopped following a channel.
	Left struct {
		ChannelID chat.ChannelID
		By        chat.UserID // the user who removed this user from the channel, if any
		Err       error       // set if the server has refused the subscription
	}
	// Reset reports a gap in a channel's events that the client does not fill. The caller should
	// discard any events in the channel after To.Seq and read the newest page of the channel's
	// history. The next event delivered is the one after To.
	Reset struct {
		ChannelID chat.ChannelID
		From, To  Position
		Lost      bool // true if the server has lost writes; false if more than MaxCatchUp events were missed
	}
	// Status reports the progress of an event sent with Send, Post, Edit and similar methods.
	Status struct {
		ClientID  chat.ClientID
		ChannelID chat.ChannelID // zero while a direct message is Pending
		Kind      event.Kind
		State     State
		ID        chat.EventID // set in the state Sent and all later states
		Seq       int64
		SentAt    chat.Time
		Err       error // set if State is Failed: an *Error, ErrUnknown, ErrClosed or a *StoreError
	}
	// Connection reports the state of the connection.
	Connection struct {
		State   ConnectionState
		Attempt int           // number of consecutive failures
		Wait    time.Duration // time until the next attempt, if Offline
		Err     error         // why the connection failed, if Offline
	}
	// Typing reports that a member is typing or has stopped.
	Typing struct{ frame.TypingNotice }
	// Presence reports members who came online or went offline.
	Presence struct{ frame.PresenceNotice }
	// Receipt reports the delivered and read positions of a member of a small channel.
	Receipt struct{ frame.Receipt }
	// ReceiptCounts reports the numbers of members of a large channel who have received and read
	// this user's newest message.
	ReceiptCounts struct{ frame.ReceiptCounts }
)

func (ChannelEvent) clientEvent()  {}
func (Joined) clientEvent()        {}
func (Left) clientEvent()          {}
func (Reset) clientEvent()         {}
func (Status) clientEvent()        {}
func (Connection) clientEvent()    {}
func (Typing) clientEvent()        {}
func (Presence) clientEvent()      {}
func (Receipt) clientEvent()       {}
func (ReceiptCounts) clientEvent() {}

// Position returns the event's position. The caller can store it after handling the event.
func (e ChannelEvent) Position() Position { return Position{Seq: e.Seq, Epoch: e.Epoch} }

// State is the progress of a message.
type State int

// The states of a send, in the order in which it passes through them. It may skip some states. The
// final state is Read or Failed, but if no more receipts arrive, the send stays in an earlier
// state.
const (
	Pending   State = iota + 1 // waiting to be acknowledged
	Sent                       // durable, with a known seq
	Delivered                  // received by another member
	Read                       // read by another member
	Failed                     // refused, or could not be stored
)

func (s State) String() string {
	return [...]string{"unknown", "pending", "sent", "delivered", "read", "failed"}[min(max(s, 0), Failed)]
}

// ConnectionState is the state of the connection.
type ConnectionState int

// The states of the connection.
const (
	Connecting ConnectionState = iota + 1
	Online                     // the server has accepted the connection, and the client is fetching missed events
	Offline                    // lost or not established; retried after Wait
)

func (s ConnectionState) String() string {
	return [...]string{"unknown", "connecting", "online", "offline"}[min(max(s, 0), Offline)]
}

// StoreError reports that an acknowledged event could not be stored.
type StoreError struct{ Reason string }

func (e *StoreError) Error() string { return "could not be stored: " + e.Reason }
