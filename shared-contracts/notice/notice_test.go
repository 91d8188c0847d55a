package notice_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/notice"
)

func ref[T any](v T) *T { return &v }

func TestNotice_roundTrip(t *testing.T) {
	u := chat.UserID{UUID: uuid.MustParse("019b7d5c-0000-7000-8000-0000000000aa")}
	const user = `"user_id":"019b7d5c-0000-7000-8000-0000000000aa"`
	x := uuid.MustParse("0b0e7a52-6d0a-4c0f-9d58-3f8f6a1d2c11")
	const id = `"0b0e7a52-6d0a-4c0f-9d58-3f8f6a1d2c11"`
	at := chat.At(time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC))
	for _, tt := range []struct {
		n    notice.Notice
		want string
	}{
		{
			notice.Notice{Kind: notice.ChannelAdded, UserID: u, ChannelID: ref(chat.ChannelID{UUID: x}), By: &u},
			`{"kind":"channel_added",` + user + `,"channel_id":` + id + `,"by":"` + u.String() + `"}`,
		},
		{
			notice.Notice{Kind: notice.ChannelRemoved, UserID: u, ChannelID: ref(chat.ChannelID{UUID: x})},
			`{"kind":"channel_removed",` + user + `,"channel_id":` + id + `}`,
		},
		{
			notice.Notice{Kind: notice.GroupChanged, UserID: u, GroupID: ref(chat.GroupID{UUID: x}), Change: "added", By: &u},
			`{"kind":"group_changed",` + user + `,"by":"` + u.String() + `","group_id":` + id + `,"change":"added"}`,
		},
		{
			notice.Notice{Kind: notice.SessionRevoked, UserID: u, SessionID: ref(chat.SessionID{UUID: x})},
			`{"kind":"session_revoked",` + user + `,"session_id":` + id + `}`,
		},
		{
			notice.Notice{Kind: notice.SessionRenewed, UserID: u, SessionID: ref(chat.SessionID{UUID: x}), ExpiresAt: &at},
			`{"kind":"session_renewed",` + user + `,"session_id":` + id + `,"expires_at":"2026-01-02T03:04:05.006Z"}`,
		},
		{
			notice.Notice{
				Kind: notice.EventFailed, UserID: u, ChannelID: ref(chat.ChannelID{UUID: x}), EventID: ref(chat.EventID{UUID: x}),
				ClientID: ref(chat.ClientID{UUID: x}), Seq: 43, Reason: "too long",
			},
			`{"kind":"event_failed",` + user + `,"channel_id":` + id + `,"event_id":` + id + `,"client_id":` + id + `,"seq":43,"reason":"too long"}`,
		},
	} {
		b := tt.n.Encode()
		if string(b) != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.n.Kind, b, tt.want)
		}
		if got, err := notice.Decode(b); err != nil || !reflect.DeepEqual(got, tt.n) {
			t.Errorf("%s: got %+v, %v", tt.n.Kind, got, err)
		}
	}
	for _, bad := range []string{"", "[]", `{"user_id":"x"}`, `{"seq":"1"}`} {
		if n, err := notice.Decode([]byte(bad)); err == nil || !reflect.DeepEqual(n, notice.Notice{}) {
			t.Errorf("%q: %+v, %v; want an error", bad, n, err)
		}
	}
	// A newer service may send additional fields and kinds.
	if n, err := notice.Decode([]byte(`{"kind":"muted","user_id":"` + u.String() + `","until":5}`)); err != nil || n.Kind != "muted" {
		t.Errorf("newer notice: %+v, %v", n, err)
	}
}
