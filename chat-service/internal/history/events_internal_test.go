package history

import (
	"fmt"
	"strings"
	"testing"

	"parley.chat/internal/eventlog/replay"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// TestFillLosses checks that a tombstone stands in place of each lost event, and that events that
// were found after all are kept.
func TestFillLosses(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	page := func(seqs ...int64) (events []frame.Event) {
		for _, seq := range seqs {
			events = append(events, frame.Event{Type: event.Message, ChannelID: c, Seq: seq, ID: chat.NewEventID()})
		}
		return events
	}
	for name, tt := range map[string]struct {
		events []frame.Event
		after  int64
		losses []replay.Loss
		want   string
	}{
		"no loss":                     {page(3, 4), 2, nil, "3 4"},
		"before the first event":      {page(5), 2, []replay.Loss{{From: 1, To: 4}}, "lost3 lost4 5"},
		"between events":              {page(3, 6), 2, []replay.Loss{{From: 4, To: 5}}, "3 lost4 lost5 6"},
		"an event that was found":     {page(3, 4, 6), 2, []replay.Loss{{From: 3, To: 5}}, "3 4 lost5 6"},
		"two losses":                  {page(2, 4, 6), 1, []replay.Loss{{From: 5, To: 5}, {From: 3, To: 3}}, "2 lost3 4 lost5 6"},
		"a hole that nothing names":   {page(3, 7), 2, []replay.Loss{{From: 5, To: 5}}, "3 lost5 7"},
		"a loss after the last event": {page(3), 2, []replay.Loss{{From: 4, To: 9}}, "3"},
		"an empty page":               {nil, 2, []replay.Loss{{From: 3, To: 9}}, ""},
	} {
		var got []string
		for _, e := range fillLosses(tt.events, tt.after, tt.losses) {
			if e.Type == event.Lost {
				got = append(got, fmt.Sprint("lost", e.Seq))
			} else {
				got = append(got, fmt.Sprint(e.Seq))
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %s", name, got, tt.want)
		}
	}
}
