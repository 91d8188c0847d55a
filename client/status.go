package client

import (
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// maxTracked is the maximum number of the user's unread messages whose receipts the client tracks.
const maxTracked = 1000

// tracker holds the user's own messages that are acknowledged but that no member has read, in order
// of acknowledgement. Client.mu guards it.
type tracker struct {
	sent []Status
}

func (t *tracker) add(s Status) {
	if s.Kind != event.Message {
		return
	}
	if len(t.sent) >= maxTracked {
		t.sent = append(t.sent[:0], t.sent[1:]...)
	}
	t.sent = append(t.sent, s)
}

// reached applies another member's receipt in a channel and returns a Status for each message whose
// state changed.
func (t *tracker) reached(channel chat.ChannelID, delivered, read int64) []Event {
	var news []Event
	keep := t.sent[:0]
	for _, s := range t.sent {
		was := s.State
		if s.ChannelID == channel && s.Seq <= delivered {
			s.State = max(s.State, Delivered)
		}
		if s.ChannelID == channel && s.Seq <= read {
			s.State = Read
		}
		if s.State != was {
			news = append(news, s)
		}
		if s.State != Read {
			keep = append(keep, s)
		}
	}
	t.sent = keep
	return news
}

// failed stops tracking an acknowledged event that could not be stored.
func (t *tracker) failed(s Status) Status {
	for i, known := range t.sent {
		if known.ClientID == s.ClientID {
			t.sent = append(t.sent[:i], t.sent[i+1:]...)
			s.SentAt = known.SentAt
			break
		}
	}
	return s
}

// newest returns the newest tracked message of each channel.
func (t *tracker) newest() map[chat.ChannelID]Status {
	newest := make(map[chat.ChannelID]Status)
	for _, s := range t.sent {
		if s.Seq > newest[s.ChannelID].Seq {
			newest[s.ChannelID] = s
		}
	}
	return newest
}

// before returns a channel's newest tracked message before the given seq.
func (t *tracker) before(channel chat.ChannelID, seq int64) (Status, bool) {
	var found Status
	for _, s := range t.sent {
		if s.ChannelID == channel && s.Seq < seq && s.Seq > found.Seq {
			found = s
		}
	}
	return found, found.Seq > 0
}
