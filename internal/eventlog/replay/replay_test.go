package replay_test

import (
	"testing"

	"parley.chat/internal/eventlog/replay"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

func TestDeleted(t *testing.T) {
	t.Parallel()
	gone, kept, user := chat.NewEventID(), chat.NewEventID(), chat.NewUserID()
	d := replay.Deleted{}
	for _, e := range []frame.Event{
		{Type: event.Delete, ID: chat.NewEventID(), MessageID: &gone},
		{Type: event.Delete, ID: chat.NewEventID()},
		{Type: event.Reaction, ID: chat.NewEventID(), MessageID: &kept, Emoji: "👍"},
	} {
		d.Add(&e)
	}
	if _, ok := d[gone]; !ok || len(d) != 1 {
		t.Fatalf("deleted: %v, want only %s", d, gone)
	}
	mentions := []chat.UserID{user}
	for name, tt := range map[string]struct {
		e    frame.Event
		want bool
	}{
		"the message":         {frame.Event{Type: event.Message, ID: gone, Body: "hi", Mentions: mentions}, true},
		"its edit":            {frame.Event{Type: event.Edit, ID: chat.NewEventID(), MessageID: &gone, Body: "hi", Mentions: mentions}, true},
		"without text":        {frame.Event{Type: event.Message, ID: gone}, false},
		"another message":     {frame.Event{Type: event.Message, ID: kept, Body: "hi", Mentions: mentions}, false},
		"an edit of another":  {frame.Event{Type: event.Edit, ID: gone, MessageID: &kept, Body: "hi", Mentions: mentions}, false},
		"an edit of nothing":  {frame.Event{Type: event.Edit, ID: gone, Body: "hi", Mentions: mentions}, false},
		"a reply to it":       {frame.Event{Type: event.Message, ID: kept, ReplyTo: &gone, Body: "hi", Mentions: mentions}, false},
		"an event that is no": {frame.Event{Type: event.Reaction, ID: kept, MessageID: &gone, Body: "hi", Mentions: mentions}, false},
	} {
		e := tt.e
		if got := d.RemoveText(&e); got != tt.want {
			t.Errorf("%s: RemoveText = %v, want %v", name, got, tt.want)
		}
		if removed := e.Body == "" && e.Mentions == nil; removed != (tt.want || tt.e.Body == "") {
			t.Errorf("%s: the text is %q, with %d mentions", name, e.Body, len(e.Mentions))
		}
		if e.ID != tt.e.ID || e.ReplyTo != tt.e.ReplyTo {
			t.Errorf("%s: the rest of the event has changed: %+v", name, e)
		}
	}
	if mentions[0] != user {
		t.Error("the list of mentions was changed, which other goroutines may be reading")
	}
}

func TestLoss(t *testing.T) {
	t.Parallel()
	at, c := chat.Now(), chat.NewChannelID()
	l, ok := replay.LossOf(&frame.Event{Type: event.Gap, ChannelID: c, Seq: 8, ID: chat.NewEventID(), From: 3, To: 5, SentAt: at})
	if _, other := replay.LossOf(&frame.Event{Type: event.Message, From: 3, To: 5}); !ok || other {
		t.Errorf("a gap event announces a loss: %v; another event: %v", ok, other)
	}
	for seq, want := range map[int64]bool{2: false, 3: true, 5: true, 6: false, 8: false} {
		if got := l.Has(seq); got != want {
			t.Errorf("seq %d is in the loss: %v, want %v", seq, got, want)
		}
	}
	first, second := l.Tombstone(c, 3), l.Tombstone(c, 4)
	if first.ID != chat.TombstoneID(c, 3) || first.ID == second.ID {
		t.Errorf("the ids are %s and %s, want those of sync-service", first.ID, second.ID)
	}
	if first.Type != event.Lost || first.ChannelID != c || first.Seq != 3 || first.SentAt != at {
		t.Errorf("the tombstone is %+v", first)
	}
}
