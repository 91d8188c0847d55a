package message

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/chattest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// fixture is a Service that cannot append, for the checks that precede an append, with the users
// ann and bob.
type fixture struct {
	*Service
	*chattest.World
	ann, bob chat.UserID
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	w := chattest.Open(t, "ann", "bob")
	return &fixture{&Service{cfg: Config{DB: w.DB, MaxBytes: 8}}, w, w.ID("ann"), w.ID("bob")}
}

func TestClientID(t *testing.T) {
	t.Parallel()
	one, two, zero := new(chat.NewClientID()), new(chat.NewClientID()), new(chat.ClientID)
	for name, tt := range map[string]struct {
		header, body *chat.ClientID
		want         *chat.ClientID // nil: an error
		field        string
	}{
		"header":          {one, nil, one, ""},
		"body":            {nil, two, two, ""},
		"both":            {one, new(*one), one, ""},
		"both, different": {one, two, nil, "client_id"},
		"zero in header":  {zero, nil, nil, "Idempotency-Key"},
		"zero in body":    {nil, zero, nil, "client_id"},
	} {
		got, err := clientID(tt.header, tt.body)
		switch {
		case tt.want != nil:
			if err != nil || got != *tt.want {
				t.Errorf("%s: %v, %v; want %v", name, got, err, *tt.want)
			}
		case err == nil || len(apierr.Of(err).Fields) != 1 || apierr.Of(err).Fields[0].Field != tt.field:
			t.Errorf("%s: %v, %v; want an error of the field %s", name, got, err, tt.field)
		}
	}
	first, err1 := clientID(nil, nil)
	second, err2 := clientID(nil, nil)
	if err1 != nil || err2 != nil || first.IsZero() || first == second {
		t.Errorf("without a key: %v and %v, want two different new ones", first, second)
	}
}

func TestCheckBody(t *testing.T) {
	t.Parallel()
	s := &Service{cfg: Config{MaxBytes: 8}}
	for body, want := range map[string]apierr.Code{
		"hi": "", "üüüü": "", "": apierr.InvalidBody, " \n": apierr.InvalidBody, "a\x00b": apierr.InvalidBody,
		"üüüüx": apierr.TooLarge, strings.Repeat("x", 9): apierr.TooLarge,
	} {
		err := s.checkBody(body)
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", body, err)
			}
			continue
		}
		if e := apierr.Of(err); err == nil || e.Code != want || len(e.Fields) != 1 || e.Fields[0].Field != "body" {
			t.Errorf("%q: %v, want %s", body, err, want)
		}
	}
}

// TestUnblocked checks that a mention is dropped if either of the two users has blocked the other.
func TestUnblocked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other, channel := chat.NewUserID(), chat.NewUserID() // the channel's id stands for a mention of all members
	all := func() []chat.UserID { return []chat.UserID{channel, f.bob, other} }
	for _, tt := range []struct {
		name, by string
		want     int
	}{{"nobody", "", 3}, {"the sender", "ann", 2}, {"the mentioned user", "bob", 2}} {
		f.Exec("delete from contacts")
		f.Exec("insert into contacts (user_id, contact_id, state) select a.id, b.id, 'blocked' from users a, users b where a.username = $1 and b.username <> $1", tt.by)
		got, err := f.unblocked(t.Context(), f.ann, all())
		if err != nil || len(got) != tt.want || got[0] != channel || got[len(got)-1] != other {
			t.Errorf("%s has blocked: %v, %v; want %d of %v", tt.name, got, err, tt.want, all())
		}
	}
}

// TestAdmit checks who may send to a channel.
func TestAdmit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	open, private, direct := f.Channel(chat.Public, "open", "ann"), f.Channel(chat.Private, "private", "ann"), f.Direct("ann", "bob")
	want := func(what string, user chat.UserID, channel chat.ChannelID, code apierr.Code) {
		t.Helper()
		err := f.admit(t.Context(), user, channel)
		if code == "" && err != nil || code != "" && apierr.CodeOf(err) != code {
			t.Errorf("%s: %v, want %q", what, err, code)
		}
	}
	want("a member", f.ann, open, "")
	want("a user who could join", f.bob, open, apierr.Forbidden)
	want("a user who may not know the channel", f.bob, private, apierr.NotFound)
	want("a direct channel", f.ann, direct, "")
	f.Contact("ann", "bob", "blocked")
	want("a direct channel with a blocked user", f.ann, direct, apierr.Forbidden)
	want("a direct channel with a user who has blocked the sender", f.bob, direct, apierr.Forbidden)
}

// TestAdmit_arriving checks that a sender waits until their own member_joined event has left the
// outbox, and is not admitted if that takes too long.
func TestAdmit_arriving(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	room := f.Channel(chat.Private, "room", "ann")
	f.Exec("insert into outbox (kind, channel_id, subject_id) values ('member_joined', $1, $2)", room.String(), f.ann.String())
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := f.admit(short, f.ann, room); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the join is not announced: %v, want the deadline's error", err)
	}
	done := make(chan error, 1)
	go func() { done <- f.admit(context.Background(), f.ann, room) }()
	f.Exec("delete from outbox")
	if err := <-done; err != nil {
		t.Errorf("after the announcement: %v", err)
	}
}
