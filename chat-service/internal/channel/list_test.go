package channel

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/shared-contracts/chat"
)

func TestQueryBuilder(t *testing.T) {
	t.Parallel()
	user := chat.NewUserID()
	q := &queryBuilder{args: []any{user}}
	q.text.WriteString("select 1 where a = $1")
	q.where("b is null")
	q.where("(c, d) > (?, ?)", "c?", 4)
	q.where("e = ?", 5)
	if got, want := q.text.String(), "select 1 where a = $1 and b is null and (c, d) > ($2, $3) and e = $4"; got != want {
		t.Errorf("query %q, want %q", got, want)
	}
	if want := []any{user, "c?", 4, 5}; !reflect.DeepEqual(q.args, want) {
		t.Errorf("arguments %v, want %v", q.args, want)
	}
}

// TestPositions checks the source of a channel's head: the counter in Redis if there is one, and
// the newest row if not, or if Redis is down.
func TestPositions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ann := f.User("ann")
	seeded, unseeded, empty := f.Channel(chat.Public, "seeded", "ann owner"), f.Channel(chat.Public, "unseeded", "ann owner"), f.Channel(chat.Public, "empty", "ann owner")
	for channel, rows := range map[chat.ChannelID]int{seeded: 3, unseeded: 5} {
		f.Messages(channel, rows)
	}
	if _, err := f.Log.EnsureHead(t.Context(), seeded, func(context.Context, chat.ChannelID) (int64, error) { return 40, nil }); err != nil {
		t.Fatal(err)
	}
	moved, err := f.Receipts.Move(t.Context(), []receiptlog.Move{{Channel: seeded, User: ann.UserID, Receipt: receiptlog.Receipt{Delivered: 2, Read: 2}}})
	if err != nil || !moved[0].Seeded {
		t.Fatalf("Move = %+v, %v", moved, err)
	}
	heads := func() string {
		t.Helper()
		found, err := f.positions(t.Context(), ann.UserID, []chat.ChannelID{empty, seeded, unseeded})
		if err != nil {
			t.Fatal(err)
		}
		var text string
		for _, p := range found {
			text += fmt.Sprint(p.Seq, " read ", p.Receipt.Read, "; ")
		}
		return text
	}
	if got := heads(); got != "0 read 0; 40 read 2; 5 read 0; " {
		t.Errorf("with Redis: %s", got)
	}
	f.Redis.Kill(t)
	if got := heads(); got != "0 read 0; 3 read 0; 5 read 0; " {
		t.Errorf("without Redis: %s", got)
	}
}
