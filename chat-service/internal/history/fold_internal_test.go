package history

import (
	"fmt"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

func TestFold_reactionsAreBounded(t *testing.T) {
	id, reader := chat.NewEventID(), chat.NewUserID()
	f := newFolding([]frame.Event{{ID: id}}, now)
	state := f.states[id]
	seq := int64(0)
	react := func(emoji string, user chat.UserID, removed bool) {
		seq++
		state.react(reaction{emoji, user}, vote{seq, removed})
	}
	for range 99 {
		react("❤", chat.NewUserID(), false) // in the form that an earlier release stored
	}
	react("❤️", reader, false)
	for i := range 1000 {
		react(fmt.Sprint("text ", i), reader, false)
	}
	react("🎉", reader, false)
	react("🎉\ufe0f", reader, true)
	list := f.messages(reader)[0].Reactions
	if len(list) != maxEmojis {
		t.Fatalf("%d different reactions, want %d", len(list), maxEmojis)
	}
	if r := list[0]; r.Emoji != "❤️" || r.Count != 100 || len(r.UserIDs) != maxEmojisUsers || r.UserIDs[maxEmojisUsers-1] != reader {
		t.Errorf("first reaction is %s, count %d, with %d users, the last one is the reader: %v", r.Emoji, r.Count, len(r.UserIDs), r.UserIDs[len(r.UserIDs)-1] == reader)
	}
	if list[1].Emoji != "text 0" || list[1].Count != 1 {
		t.Errorf("second reaction is %+v", list[1])
	}
}
