package event_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

func receipts() event.Receipts {
	return event.Receipts{Channel: sample().Channel, Moves: []event.Receipt{
		{User: sample().Sender, Delivered: 43, Read: 42},
		{User: must(chat.ParseUserID("019b7d5c-0000-7000-8000-0000000000bb")), Delivered: 1},
	}}
}

func receiptsAsRead(r event.Receipts) map[string]any {
	fields := r.Fields()
	m := make(map[string]any)
	for i := 0; i < len(fields); i += 2 {
		m[fields[i].(string)] = fmt.Sprint(fields[i+1])
	}
	return m
}

func TestReceipts_goldenAndRoundTrip(t *testing.T) {
	var lines strings.Builder
	for i, f := range receipts().Fields() {
		fmt.Fprint(&lines, f, map[bool]string{true: "\t", false: "\n"}[i%2 == 0])
	}
	golden(t, "receipts.golden", []byte(lines.String()))
	got, err := event.DecodeReceipts(receiptsAsRead(receipts()))
	if err != nil || !reflect.DeepEqual(got, receipts()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestReceipts_randomRoundTrip(t *testing.T) {
	for range 200 {
		r := event.Receipts{Channel: chat.NewChannelID()}
		for range 1 + rand.IntN(event.MaxMoves) {
			read := rand.Int64N(1 << 50)
			r.Moves = append(r.Moves, event.Receipt{User: chat.NewUserID(), Delivered: read + rand.Int64N(100), Read: read})
		}
		if got, err := event.DecodeReceipts(receiptsAsRead(r)); err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%d moves: %v", len(r.Moves), err)
		}
	}
}

func TestDecodeReceipts_namesTheField(t *testing.T) {
	user := sample().Sender.String()
	for name, bad := range map[string]struct{ field, value string }{
		"version":              {"v", "x"},
		"version 0":            {"v", "0"},
		"channel":              {"channel_id", "nope"},
		"no moves":             {"moves", ""},
		"no user":              {"moves", "ann:1:1"},
		"no read":              {"moves", user + ":1"},
		"a word too many":      {"moves", user + ":1:1:1"},
		"read past delivered":  {"moves", user + ":1:2"},
		"below 0":              {"moves", user + ":1:-1"},
		"no number":            {"moves", user + ":one:1"},
		"two spaces":           {"moves", user + ":1:1  " + user + ":1:1"},
		"more than a call has": {"moves", strings.TrimSpace(strings.Repeat(user+":1:1 ", event.MaxMoves+1))},
	} {
		t.Run(name, func(t *testing.T) {
			m := receiptsAsRead(receipts())
			m[bad.field] = bad.value
			if _, err := event.DecodeReceipts(m); err == nil || !strings.Contains(err.Error(), bad.field) {
				t.Errorf("bad value: %v does not name %s", err, bad.field)
			}
			delete(m, bad.field)
			if _, err := event.DecodeReceipts(m); err == nil || !strings.Contains(err.Error(), bad.field+" is missing") {
				t.Errorf("missing: %v does not name %s", err, bad.field)
			}
		})
	}
}

func TestDecodeReceipts_newerVersion(t *testing.T) {
	m := receiptsAsRead(receipts())
	m["v"] = "2"
	if r, err := event.DecodeReceipts(m); !errors.Is(err, event.ErrNewer) || r.Channel != sample().Channel {
		t.Fatalf("got %+v, %v; want ErrNewer and the channel", r, err)
	}
}

// FuzzDecodeReceipts checks that no combination of fields causes a panic and that accepted fields
// survive a round trip.
func FuzzDecodeReceipts(f *testing.F) {
	m := receiptsAsRead(receipts())
	f.Add(m["v"].(string), m["channel_id"].(string), m["moves"].(string))
	f.Add("1", m["channel_id"].(string), "::")
	f.Fuzz(func(t *testing.T, v, channel, moves string) {
		r, err := event.DecodeReceipts(map[string]any{"v": v, "channel_id": channel, "moves": moves})
		if err != nil {
			return
		}
		again, err := event.DecodeReceipts(receiptsAsRead(r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("unstable: %+v then %+v, %v", r, again, err)
		}
		for _, m := range r.Moves {
			if m.Read < 0 || m.Read > m.Delivered {
				t.Fatalf("accepted %+v", m)
			}
		}
	})
}
