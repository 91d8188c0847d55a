package client

import (
	"fmt"
	"strings"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// message returns the Status of an acknowledged message.
func message(c chat.ChannelID, seq int64) Status {
	return Status{ClientID: chat.NewClientID(), ChannelID: c, Kind: event.Message, State: Sent, Seq: seq}
}

// changes returns the seqs and new states of statuses, in order.
func changes(news []Event) string {
	var list []string
	for _, e := range news {
		if s, ok := e.(Status); ok {
			list = append(list, fmt.Sprint(s.Seq, " ", s.State))
		}
	}
	return strings.Join(list, ", ")
}

// TestTracker_order checks that a message passes through its states in order, reports each state
// once, and never goes back.
func TestTracker_order(t *testing.T) {
	t.Parallel()
	tea, milk := chat.NewChannelID(), chat.NewChannelID()
	var tr tracker
	for seq := range int64(4) {
		tr.add(message(tea, seq+1))
	}
	tr.add(message(milk, 1))
	for _, step := range []struct {
		name            string
		channel         chat.ChannelID
		delivered, read int64
		want            string
	}{
		{"nothing is delivered", tea, 0, 0, ""},
		{"the first two are delivered", tea, 2, 0, "1 delivered, 2 delivered"},
		{"another member has received less", tea, 1, 0, ""},
		{"the first is read, the third is delivered", tea, 3, 1, "1 read, 3 delivered"},
		{"the same again", tea, 3, 1, ""},
		{"the other channel is read without having been delivered first", milk, 1, 1, "1 read"},
		{"the rest is read", tea, 9, 9, "2 read, 3 read, 4 read"},
		{"read messages are no longer tracked", tea, 10, 10, ""},
	} {
		if got := changes(tr.reached(step.channel, step.delivered, step.read)); got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
	if len(tr.sent) != 0 {
		t.Errorf("%d messages are tracked, want none", len(tr.sent))
	}
}

// TestTracker_onlyMessages checks that edits, deletions and reactions have no receipts.
func TestTracker_onlyMessages(t *testing.T) {
	t.Parallel()
	tea := chat.NewChannelID()
	var tr tracker
	for i, kind := range []event.Kind{event.Edit, event.Delete, event.Reaction} {
		s := message(tea, int64(i+1))
		s.Kind = kind
		tr.add(s)
	}
	if got := changes(tr.reached(tea, 3, 3)); got != "" {
		t.Errorf("receipts of other events: %s", got)
	}
}

// TestTracker_bounded checks that at most maxTracked messages are tracked: the newest ones.
func TestTracker_bounded(t *testing.T) {
	t.Parallel()
	tea := chat.NewChannelID()
	var tr tracker
	for seq := range int64(maxTracked + 5) {
		tr.add(message(tea, seq+1))
	}
	if n, first, last := len(tr.sent), tr.sent[0].Seq, tr.sent[len(tr.sent)-1].Seq; n != maxTracked || first != 6 || last != maxTracked+5 {
		t.Errorf("%d messages are tracked, from %d to %d", n, first, last)
	}
}

// TestTracker_failed checks that a message that could not be stored keeps the time of its
// acknowledgement, and that later receipts do not change its state.
func TestTracker_failed(t *testing.T) {
	t.Parallel()
	tea := chat.NewChannelID()
	var tr tracker
	sent := message(tea, 1)
	sent.SentAt = chat.Now()
	tr.add(sent)
	tr.add(message(tea, 2))
	if got := tr.failed(Status{ClientID: sent.ClientID, ChannelID: tea, State: Failed, Seq: 1}); got.State != Failed || got.SentAt != sent.SentAt {
		t.Errorf("the failure is reported as %+v", got)
	}
	if unknown := tr.failed(Status{ClientID: chat.NewClientID(), State: Failed}); !unknown.SentAt.IsZero() {
		t.Errorf("the time of a message that is not tracked: %v", unknown.SentAt)
	}
	if got := changes(tr.reached(tea, 2, 2)); got != "2 read" {
		t.Errorf("after the failure of 1: %q", got)
	}
}

// TestTracker_newest checks for which messages the client requests receipts after a reconnection:
// the newest one in each channel, then the one before it.
func TestTracker_newest(t *testing.T) {
	t.Parallel()
	tea, milk := chat.NewChannelID(), chat.NewChannelID()
	var tr tracker
	for _, s := range []Status{message(tea, 3), message(milk, 8), message(tea, 5), message(tea, 4)} { // acknowledged out of order
		tr.add(s)
	}
	newest := tr.newest()
	if len(newest) != 2 || newest[tea].Seq != 5 || newest[milk].Seq != 8 {
		t.Errorf("newest: %+v", newest)
	}
	for seq, want := range map[int64]int64{5: 4, 4: 3, 3: 0} {
		if s, ok := tr.before(tea, seq); s.Seq != want || ok != (want > 0) {
			t.Errorf("before %d: %d, %v, want %d", seq, s.Seq, ok, want)
		}
	}
}
