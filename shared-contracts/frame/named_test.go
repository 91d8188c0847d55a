package frame_test

import (
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// TestNamedUserIn checks that NamedUserIn finds the user in the bytes of a frame, no matter what
// its texts contain.
func TestNamedUserIn(t *testing.T) {
	ann, bob, id := chat.NewUserID(), chat.NewUserID(), chat.NewEventID()
	trick := `","sender_id":"` + bob.String() + `","user_id":"` + bob.String()
	for _, tt := range []struct {
		e    frame.Event
		want chat.UserID
	}{
		{frame.Event{Type: event.Message, SenderID: ann, SenderName: "ann", Body: trick}, ann},
		{frame.Event{Type: event.MemberJoined, SenderID: bob, UserID: &ann, Username: trick}, ann},
		{frame.Event{Type: event.MemberLeft, SenderID: bob, UserID: &ann, Username: "ann"}, ann},
		{frame.Event{Type: event.Edit, SenderID: ann, MessageID: &id, Body: trick}, chat.UserID{}},
		{frame.Event{Type: event.Reaction, SenderID: ann, MessageID: &id, Emoji: "👍"}, chat.UserID{}},
		{frame.Event{Type: event.Lost}, chat.UserID{}},
	} {
		tt.e.ChannelID, tt.e.Seq, tt.e.ID, tt.e.SentAt = chat.NewChannelID(), 7, id, chat.Now()
		b, err := tt.e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, ok := frame.NamedUserIn(tt.e.Type, b)
		named, has := tt.e.NamedUser()
		if got != tt.want || ok != !tt.want.IsZero() || has != ok || named != got {
			t.Errorf("%s names %s (%v), want %s; NamedUser returns %s", b, got, ok, tt.want, named)
		}
		tt.e.RemoveName()
		if _, has := tt.e.NamedUser(); has {
			t.Errorf("%s still has a name", b)
		}
	}
}

func TestNamedUserIn_corrupt(t *testing.T) {
	for _, b := range []string{``, `{}`, `{"sender_id":"`, `{"sender_id":"x"}`} {
		if user, ok := frame.NamedUserIn(event.Message, []byte(b)); ok {
			t.Errorf("%q names %s", b, user)
		}
	}
}
