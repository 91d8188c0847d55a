package client

import (
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// Event is anything that is delivered to the caller. It is one of the types in this file.
type Event interface{ clientEvent() }

// The types of Event. Server events without a seq are ephemeral and may be missed.
type (
	// ChannelEvent is an event in a channel's log, such as a message, an edit, a reaction or a
	// member joining. Each seq in a channel is delivered once, in order. Seq and Epoch form a
	// Position that the caller can store.
	ChannelEvent struct {
		frame.Event
		Epoch string
		Mine  bool // caused by this user, in this client or another one
	}
	// Joined reports that a channel is followed from now on. The first event is the one after From;
	// earlier ones are in the history.
	Joined struct {
		Channel frame.ChannelSummary
		From    Position
	}
	// Left reports that a channel is no longer followed.
	Left struct {
		ChannelID chat.ChannelID
		By        chat.UserID // the user who removed this user, if any
		Err       error       // set if the server has refused the subscription
	}
	// Reset reports a gap that cannot be filled event by event. The caller should discard any
	// events in the channel after To.Seq and read the newest page of its history. The next event is
	// the one after To.
	Reset struct {
		ChannelID chat.ChannelID
		From, To  Position
		Lost      bool // true: the server has lost writes; false: more than MaxCatchUp events were missed
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
	// Receipt reports a member's receipt in a small channel.
	Receipt struct{ frame.Receipt }
	// ReceiptCounts reports how many members of a large channel have received and read this user's
	// newest message.
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

// Position returns the position to store once the caller has handled the event.
func (e ChannelEvent) Position() Position { return Position{Seq: e.Seq, Epoch: e.Epoch} }

// State is the progress of a message.
type State int

// The states, in the order in which a message passes through them. A message may skip some states.
// The final state is Read or Failed, unless receipts stop arriving before that.
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
	Online                     // the server has accepted the connection; missed events are being fetched
	Offline                    // lost or not established; retried after Wait
)

func (s ConnectionState) String() string {
	return [...]string{"unknown", "connecting", "online", "offline"}[min(max(s, 0), Offline)]
}

// StoreError reports that an acknowledged event could not be stored.
type StoreError struct{ Reason string }

func (e *StoreError) Error() string { return "could not be stored: " + e.Reason }
