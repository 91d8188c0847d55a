package chat_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
)

const text = "0b0e7a52-6d0a-4c0f-9d58-3f8f6a1d2c11"

func TestParseIDs(t *testing.T) {
	parsers := map[string]func(string) (uuid.UUID, error){
		"user":    func(s string) (uuid.UUID, error) { id, err := chat.ParseUserID(s); return id.UUID, err },
		"session": func(s string) (uuid.UUID, error) { id, err := chat.ParseSessionID(s); return id.UUID, err },
		"channel": func(s string) (uuid.UUID, error) { id, err := chat.ParseChannelID(s); return id.UUID, err },
		"event":   func(s string) (uuid.UUID, error) { id, err := chat.ParseEventID(s); return id.UUID, err },
		"client":  func(s string) (uuid.UUID, error) { id, err := chat.ParseClientID(s); return id.UUID, err },
	}
	for name, parse := range parsers {
		t.Run(name, func(t *testing.T) {
			for _, s := range []string{text, strings.ToUpper(text)} {
				if id, err := parse(s); err != nil || id.String() != text {
					t.Errorf("parse(%q) = %v, %v; want it in lower case", s, id, err)
				}
			}
			for _, s := range []string{
				"", "x", "urn:uuid:" + text, "{" + text + "}", strings.ReplaceAll(text, "-", ""),
				text[:35], text + "0", text[:35] + "g", strings.Replace(text, "-", "_", 1), " " + text[:35],
			} {
				if id, err := parse(s); err == nil || id != uuid.Nil {
					t.Errorf("parse(%q) = %v, %v; want an error", s, id, err)
				}
			}
		})
	}
}

func TestNewIDs(t *testing.T) {
	if v := chat.NewUserID().Version(); v != 7 {
		t.Errorf("a user id is UUIDv%d, want 7", v)
	}
	if v := chat.NewEventID().Version(); v != 7 {
		t.Errorf("an event id is UUIDv%d, want 7", v)
	}
	// A user who knows the id of an unlisted channel may join it, so the id must not be predictable
	// from its time of creation.
	if v := chat.NewChannelID().Version(); v != 4 {
		t.Errorf("a channel id is UUIDv%d, want 4", v)
	}
	if chat.NewClientID().Version() != 4 || chat.NewSessionID().Version() != 4 {
		t.Error("client and session ids must be random")
	}
	if chat.NewUserID().IsZero() || !(chat.UserID{}).IsZero() || chat.NewClientID().IsZero() || !(chat.ClientID{}).IsZero() ||
		!(chat.ChannelID{}).IsZero() || !(chat.EventID{}).IsZero() || !(chat.SessionID{}).IsZero() ||
		chat.NewChannelID().IsZero() || chat.NewEventID().IsZero() || chat.NewSessionID().IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestIDs_json(t *testing.T) {
	type all struct {
		U chat.UserID
		S chat.SessionID
		C chat.ChannelID
		E chat.EventID
		K *chat.ClientID
	}
	in := all{chat.NewUserID(), chat.NewSessionID(), chat.NewChannelID(), chat.NewEventID(), nil}
	b, err := json.Marshal(in)
	if err != nil || string(b) != strings.ToLower(`{"u":"`+in.U.String()+`","s":"`+in.S.String()+`","c":"`+in.C.String()+`","e":"`+in.E.String()+`","k":null}`) &&
		!strings.Contains(string(b), `"K":null`) {
		t.Fatalf("%s, %v", b, err)
	}
	var out all
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Fatalf("%+v, %v; want %+v", out, err, in)
	}
}

// FuzzParseID checks that every accepted input has 36 characters and equals its id in lower case.
func FuzzParseID(f *testing.F) {
	f.Add(text)
	f.Add("{" + text + "}")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := chat.ParseChannelID(s)
		if err != nil {
			return
		}
		if !strings.EqualFold(id.String(), s) {
			t.Errorf("%q was parsed as %s", s, id)
		}
	})
}

func TestEventID_CreatedAt(t *testing.T) {
	for range 1000 {
		before := time.Now()
		id := chat.NewEventID()
		// No two ids of one process have the same time. If ids are created faster than one per 256
		// ns, their times run ahead of the clock.
		if at := id.CreatedAt(); at.Before(before.Add(-256*time.Nanosecond)) || at.After(time.Now().Add(100*time.Millisecond)) {
			t.Fatalf("%s has the time %s, but was created between %s and now", id, at, before)
		}
	}
	if at := chat.TombstoneID(chat.NewChannelID(), 7).CreatedAt(); !at.IsZero() {
		t.Errorf("a tombstone has the time %s", at)
	}
}
