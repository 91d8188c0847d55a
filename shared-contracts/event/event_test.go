package event_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func sample() event.Entry {
	return event.Entry{
		Version: 1, Seq: 43, Epoch: "1767225600000-x7f3", Kind: event.Message,
		Channel:  must(chat.ParseChannelID("0b0e7a52-6d0a-4c0f-9d58-3f8f6a1d2c11")),
		ID:       must(chat.ParseEventID("019b7d5c-0000-7000-8000-000000000001")),
		Sender:   must(chat.ParseUserID("019b7d5c-0000-7000-8000-0000000000aa")),
		ClientID: must(chat.ParseClientID("6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0001")),
		Payload:  []byte(`{"type":"message","seq":43}`),
	}
}

// golden compares got with a file in testdata, so that the wire format is not changed by accident.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", name, got, want)
	}
}

func TestEntry_golden(t *testing.T) {
	var lines strings.Builder
	for i, f := range sample().Fields() {
		if b, ok := f.([]byte); ok {
			f = string(b)
		}
		fmt.Fprint(&lines, f, map[bool]string{true: "\t", false: "\n"}[i%2 == 0])
	}
	golden(t, "entry.golden", []byte(lines.String()))
}

func asRead(e event.Entry) map[string]any {
	fields := e.Fields()
	m := make(map[string]any)
	for i := 0; i < len(fields); i += 2 {
		v := fields[i+1]
		if b, ok := v.([]byte); ok {
			v = string(b)
		}
		m[fields[i].(string)] = fmt.Sprint(v) // Redis returns strings
	}
	return m
}

func TestEntry_roundTrip(t *testing.T) {
	got, err := event.DecodeEntry(asRead(sample()))
	if err != nil || !reflect.DeepEqual(got, sample()) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestDecodeEntry_namesTheField(t *testing.T) {
	for field, value := range map[string]string{
		"v": "x", "channel_id": "nope", "seq": "0", "epoch": "x", "kind": "dance", "id": "1", "sender_id": "", "client_id": "z",
	} {
		t.Run(field, func(t *testing.T) {
			m := asRead(sample())
			m[field] = value
			_, err := event.DecodeEntry(m)
			if err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("bad value: %v does not name %s", err, field)
			}
			delete(m, field)
			_, err = event.DecodeEntry(m)
			if err == nil || !strings.Contains(err.Error(), field+" is missing") {
				t.Errorf("missing: %v does not name %s", err, field)
			}
		})
	}
}

func TestDecodeEntry_newerVersion(t *testing.T) {
	m := asRead(sample())
	m["v"], m["kind"] = "2", "poll_opened"
	if e, err := event.DecodeEntry(m); !errors.Is(err, event.ErrNewer) || e.Seq != 43 {
		t.Fatalf("got %+v, %v; want ErrNewer and the seq", e, err)
	}
	if _, err := event.DecodeItem([]byte("2 1-a 43 1-1 message 019b7d5c-0000-7000-8000-0000000000aa\n{}")); !errors.Is(err, event.ErrNewer) {
		t.Fatalf("item: %v, want ErrNewer", err)
	}
}

func TestItem_goldenAndRoundTrip(t *testing.T) {
	e := sample()
	for name, it := range map[string]event.Item{
		"item.golden":           {Epoch: e.Epoch, Seq: e.Seq, EntryID: "1767225600123-0", Kind: e.Kind, Sender: e.Sender, Frame: e.Payload},
		"item-ephemeral.golden": {Kind: "typing", Sender: e.Sender, Frame: []byte(`{"type":"typing"}`)},
	} {
		b := it.Encode()
		golden(t, name, b)
		got, err := event.DecodeItem(b)
		if err != nil || !reflect.DeepEqual(got, it) {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, it)
		}
	}
}

// FuzzDecodeItem checks that no input causes a panic and that accepted input has a stable encoding.
func FuzzDecodeItem(f *testing.F) {
	f.Add([]byte("1 1-a 43 1-1 message 019b7d5c-0000-7000-8000-0000000000aa\n{}"))
	f.Add([]byte("1 - 0 - typing 019b7d5c-0000-7000-8000-0000000000aa\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		it, err := event.DecodeItem(b)
		if err != nil {
			return
		}
		first := it.Encode()
		again, err := event.DecodeItem(first)
		if err != nil || !bytes.Equal(again.Encode(), first) {
			t.Fatalf("unstable: %q then %q, %v", first, again.Encode(), err)
		}
	})
}

// FuzzDecodeEntry checks that no combination of fields causes a panic and that accepted fields
// survive a round trip.
func FuzzDecodeEntry(f *testing.F) {
	m := asRead(sample())
	text := func(name string) string { return m[name].(string) }
	f.Add(text("v"), text("channel_id"), text("seq"), text("epoch"), text("kind"), text("id"), text("sender_id"), text("client_id"), text("payload"))
	f.Fuzz(func(t *testing.T, v, channel, seq, epoch, kind, id, sender, client, payload string) {
		e, err := event.DecodeEntry(map[string]any{
			"v": v, "channel_id": channel, "seq": seq, "epoch": epoch, "kind": kind,
			"id": id, "sender_id": sender, "client_id": client, "payload": payload,
		})
		if err != nil {
			return
		}
		// DecodePairs must return the same entry. If a name occurs twice, the last value is used.
		pairs := []string{"seq", "7", "payload", "?"}
		for name, value := range asRead(e) {
			pairs = append(pairs, name, value.(string))
		}
		if same, err := event.DecodePairs(append(pairs, "odd")); err != nil || !reflect.DeepEqual(same, e) {
			t.Fatalf("by pairs: %+v, %v; want %+v", same, err, e)
		}
		again, err := event.DecodeEntry(asRead(e))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("unstable: %+v then %+v, %v", e, again, err)
		}
	})
}

func TestEpoch(t *testing.T) {
	for _, bad := range []string{"", "1", "-a", "x-a", "1-", "1-a b", "1-" + strings.Repeat("x", 70)} {
		if _, err := event.ParseEpoch(bad); err == nil {
			t.Errorf("ParseEpoch(%q) was accepted", bad)
		}
	}
	if !event.Epoch("10-a").NewerThan("9-z") || event.Epoch("9-z").NewerThan("9-a") {
		t.Error("epochs must be compared only by their number")
	}
}
