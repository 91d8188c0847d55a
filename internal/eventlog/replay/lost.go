package replay

import (
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// Loss is a range of seqs of one channel whose events are lost, because Redis has lost writes or
// rows were deleted by hand.
type Loss struct {
	From, To int64
	At       chat.Time // when it was noticed
}

// LossOf returns the loss that e announces. ok is false if e is not a gap event.
func LossOf(e *frame.Event) (l Loss, ok bool) {
	return Loss{From: e.From, To: e.To, At: e.SentAt}, e.Type == event.Gap
}

// Has reports whether the event with the given seq may be lost. If a reader finds the event anyway,
// the event is shown.
func (l Loss) Has(seq int64) bool { return l.From <= seq && seq <= l.To }

// Tombstone returns the event to show in place of a lost one. It is identical to the tombstone that
// sync-service stores.
func (l Loss) Tombstone(channel chat.ChannelID, seq int64) frame.Event {
	return frame.Event{Type: event.Lost, ChannelID: channel, Seq: seq, ID: chat.TombstoneID(channel, seq), SentAt: l.At}
}
