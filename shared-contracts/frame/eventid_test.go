package frame_test

import (
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// TestEventID checks that EventID returns the same id as decoding, for a frame of every kind and
// with any body.
func TestEventID(t *testing.T) {
	client, other, user := chat.NewClientID(), chat.NewEventID(), chat.NewUserID()
	for _, kind := range []event.Kind{
		event.Message, event.Edit, event.Delete, event.Reaction, event.MemberJoined, event.MemberLeft, event.ChannelUpdated,
		event.Gap, event.Failed, event.Lost, event.Noop,
	} {
		e := frame.Event{
			Type: kind, ChannelID: chat.NewChannelID(), Seq: 12, ID: chat.NewEventID(), ClientID: &client, MessageID: &other, SenderID: user,
			UserID: &user, Channel: []byte(`{"id":"` + other.String() + `"}`), Body: `,"id":"` + other.String() + `"`, ReplyTo: &other,
			From: 1, To: 2, SentAt: chat.Now(),
		}
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if id, ok := frame.EventID(b); !ok || id != e.ID {
			t.Errorf("EventID(%s) = %s, %v", b, id, ok)
		}
		for n := range b {
			if id, ok := frame.EventID(b[:n]); ok && id != e.ID {
				t.Fatalf("EventID(%s) = %s", b[:n], id)
			}
		}
	}
	for _, b := range []string{"", "{}", `{"seq":1,"id":"`, `{"seq":1,"id":"not a UUID, but as long as one of them"}`} {
		if id, ok := frame.EventID([]byte(b)); ok {
			t.Errorf("EventID(%s) = %s", b, id)
		}
	}
}
