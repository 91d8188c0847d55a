package client

import (
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// Event is anything that comes to the caller: one of the types of this file.
type Event interface{ clientEvent() }

// The types of Event. Those of the server that have no seq are news of the moment, and may be missed.
type (
	// ChannelEvent is an event of a channel's log: a message, an edit, a reaction, somebody's coming. Each
	// seq of a channel comes once, in order. Seq and Epoch are a Position to keep.
	ChannelEvent struct {
		frame.Event
		Epoch string
		Mine  bool // this user has done it, here or elsewhere
	}
	// Joined says that a channel is followed from now on. The first event is the one after From; what is
	// before is in the history.
	Joined struct {
		Channel frame.ChannelSummary
		From    Position
	}
	// Left says that a channel is not followed any more.
	Left struct {
		ChannelID chat.ChannelID
		By        chat.UserID // who has put us out, if somebody has
		Err       error       // why, if the server has refused the subscription
	}
	// Reset says that there is a hole, which cannot be closed event by event: forget what you hold of the
	// channel beyond To.Seq, read the newest page of its history, and go on. The next event is the one
	// after To.
	Reset struct {
		ChannelID chat.ChannelID
		From, To  Position
		Lost      bool // the server has lost writes; otherwise more than MaxCatchUp events were missed
	}
	// Status says how far something has come that was sent with Send, Post, Edit and the like.
	Status struct {
		ClientID  chat.ClientID
		ChannelID chat.ChannelID // zero while a direct message is Pending
		Kind      event.Kind
		State     State
		ID        chat.EventID // from Sent on
		Seq       int64
		SentAt    chat.Time
		Err       error // of Failed: an *Error, ErrUnknown, ErrClosed or a *StoreError
	}
	// Connection says how it is with the connection.
	Connection struct {
		State   ConnectionState
		Attempt int           // how many have failed in a row
		Wait    time.Duration // until the next, when Offline
		Err     error         // why, when Offline
	}
	// Typing says that a member types, or has stopped.
	Typing struct{ frame.TypingNotice }
	// Presence says who has come online and who has gone.
	Presence struct{ frame.PresenceNotice }
	// Receipt says how far a member of a small channel has come.
	Receipt struct{ frame.Receipt }
	// ReceiptCounts says how many in a large channel have the newest message of this user.
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

// Position returns where the caller stands once it has the event.
func (e ChannelEvent) Position() Position { return Position{Seq: e.Seq, Epoch: e.Epoch} }

// State is how far a message has come.
type State int

// The states, in the order in which a message passes them. It may skip some; it ends Read or Failed, or
// where its receipts end.
const (
	Pending   State = iota + 1 // it waits for its acknowledgement
	Sent                       // it is durable and has its seq
	Delivered                  // it has reached another member
	Read                       // another member has read it
	Failed                     // it was refused, or could not be stored after all
)

func (s State) String() string {
	return [...]string{"unknown", "pending", "sent", "delivered", "read", "failed"}[min(max(s, 0), Failed)]
}

// ConnectionState is how it is with the connection.
type ConnectionState int

// The states of the connection.
const (
	Connecting ConnectionState = iota + 1
	Online                     // the server has greeted us; what was missed is on its way
	Offline                    // lost, or not to be had; tried again after Wait
)

func (s ConnectionState) String() string {
	return [...]string{"unknown", "connecting", "online", "offline"}[min(max(s, 0), Offline)]
}

// StoreError says that an event which was acknowledged could not be stored after all.
type StoreError struct{ Reason string }

func (e *StoreError) Error() string { return "could not be stored: " + e.Reason }
