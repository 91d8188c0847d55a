package wsserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/platform/config"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"
	wsserver "parley.chat/ws-server"
)

func TestLimit_connectionsPerUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	w.channel(chat.Public, ann, bob)
	url, _ := w.gateway(func(cfg *wsserver.Config) { cfg.UserConnections = 2 })
	w.connect(url, ann)
	second, _ := w.connect(url, ann)
	third := wstest.Dial(t, url+"/ws", ann.Token)
	if code, why := third.AwaitClose(t); code != 4029 || !strings.Contains(why, "too many") {
		t.Errorf("the third: closed with %d %q, want 4029", code, why)
	}
	w.connect(url, bob)
	second.Send(t, `{"type":"ping","ref":"p"}`)
	second.AwaitRef(t, "p")
	second.Close()
	testkit.Until(t, testkit.Timeout, func() error { // until the gateway has noticed the close
		conn := wstest.Dial(t, url+"/ws", ann.Token)
		_, err := conn.TryAwait(testkit.Timeout, func(f wstest.Frame) bool { return f.Type == "hello" })
		return err
	})
}

func TestLimit_connectionsPerAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("ann")
	w.channel(chat.Public, ann)
	url, _ := w.gateway(func(cfg *wsserver.Config) {
		cfg.AddrConnections = 2
		if err := cfg.Proxies.UnmarshalText([]byte("127.0.0.0/8, 10.0.0.0/8")); err != nil {
			t.Fatal(err)
		}
	})
	direct, _ := w.gateway(func(cfg *wsserver.Config) { cfg.AddrConnections = 2 })
	dial := func(url, from string) (*wstest.Conn, int) {
		t.Helper()
		h := header("Authorization", "Bearer "+ann.Token)
		if from != "" {
			h.Set("X-Forwarded-For", from)
		}
		conn, resp, err := wstest.TryDial(t, url+"/ws", h)
		if err == nil {
			return conn, http.StatusSwitchingProtocols
		}
		if resp == nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
		return nil, resp.StatusCode
	}
	first, _ := dial(url, "192.0.2.7")
	for _, tt := range []struct {
		name, url, from string
		want            int
	}{
		{"the second", url, "192.0.2.7", 101},
		{"the third", url, "192.0.2.7", 429},
		{"a forged entry before it", url, "203.0.113.9, 192.0.2.7", 429},
		{"through two proxies", url, "192.0.2.7, 10.1.2.3", 429},
		{"another address", url, "192.0.2.8", 101},
		{"IPv6", url, "2001:db8:1:2::1", 101},
		{"the same network", url, "2001:db8:1:2:ffff::2", 101},
		{"and again", url, "[2001:db8:1:2::3]:4711", 429},
		{"another network", url, "2001:db8:1:3::1", 101},
		{"an untrusted peer", direct, "192.0.2.100", 101},
		{"the same peer with another header", direct, "192.0.2.101", 101},
		{"and again with another header", direct, "192.0.2.102", 429},
	} {
		if _, got := dial(tt.url, tt.from); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	first.Close()
	testkit.Until(t, testkit.Timeout, func() error {
		if _, got := dial(url, "192.0.2.7"); got != http.StatusSwitchingProtocols {
			return fmt.Errorf("%d after one connection was closed", got)
		}
		return nil
	})
}

func TestLimit_subscriptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("ann")
	var channels []chat.ChannelID
	for range 4 {
		channels = append(channels, w.channel(chat.Public, ann))
	}
	url, _ := w.gateway(func(cfg *wsserver.Config) { cfg.MaxSubscriptions = 3 })

	conn := wstest.Dial(t, url+"/ws?subscribe=none", ann.Token)
	conn.AwaitType(t, "hello")
	for i, c := range channels {
		ref := fmt.Sprint(i)
		conn.Send(t, map[string]any{"type": "subscribe", "ref": ref, "channel_id": c})
		f := conn.AwaitRef(t, ref)
		if i < 3 && f.Type != "subscribed" || i == 3 && f.Code != "rate_limited" {
			t.Errorf("subscription %d: %s", i+1, f.Raw)
		}
	}
	conn.Send(t, map[string]any{"type": "subscribe", "ref": "again", "channel_id": channels[0]})
	if f := conn.AwaitRef(t, "again"); f.Type != "subscribed" {
		t.Errorf("an existing subscription: %s", f.Raw)
	}
	conn.Send(t, map[string]any{"type": "unsubscribe", "ref": "u", "channel_id": channels[0]})
	conn.AwaitRef(t, "u")
	conn.Send(t, map[string]any{"type": "subscribe", "ref": "room", "channel_id": channels[3]})
	if f := conn.AwaitRef(t, "room"); f.Type != "subscribed" {
		t.Errorf("after an unsubscribe: %s", f.Raw)
	}

	all, hello := w.connect(url, ann)
	if len(hello.Channels) != 4 {
		t.Errorf("hello lists %d channels, want all 4", len(hello.Channels))
	}
	var said frame.Hello
	if err := json.Unmarshal(hello.Raw, &said); err != nil || said.NotFollowed != 1 || !said.Channels[3].NotFollowed || said.Channels[2].NotFollowed {
		t.Errorf("only 3 of 4 channels are subscribed, and hello must say so: %s", hello.Raw)
	}
	fifth := w.channel(chat.Public, ann)
	w.notify(notice.Notice{Kind: notice.ChannelAdded, UserID: ann.ID, ChannelID: &fifth, By: &ann.ID})
	if f := all.AwaitType(t, "membership"); f.ChannelID != fifth || !bytes.Contains(f.Raw, []byte(`"not_followed":true`)) {
		t.Errorf("%s", f.Raw)
	}
	all.Send(t, map[string]any{"type": "presence", "ref": "p", "channel_id": fifth})
	if f := all.AwaitRef(t, "p"); f.Code != "not_subscribed" {
		t.Errorf("subscribed beyond the limit: %s", f.Raw)
	}
}

// If a connection cannot be subscribed to all channels, the channels in which the user has read
// come first, and within each group the most recently active ones. So a user who was added to many
// channels still gets the events of the channels that they use.
func TestLimit_subscribesToTheMostActiveChannels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, eve := w.person("ann"), w.person("eve")
	mine, busy, quiet := w.channel(chat.Private, ann, eve), w.channel(chat.Private, ann, eve), w.channel(chat.Private, ann, eve)
	url, _ := w.gateway(func(cfg *wsserver.Config) { cfg.MaxSubscriptions = 2 })
	e := wstest.Dial(t, url+"/ws?subscribe=none", eve.Token)
	e.AwaitType(t, "hello")
	read := say(t, e, mine, "long ago").Seq
	w.moveAll(mine, []chat.UserID{ann.ID}, cursorAt(read, read))
	w.store(mine, true) // and deletes the tail, so that only PostgreSQL has it
	say(t, e, quiet, "before")
	for range 50 { // longer than a millisecond, the resolution of activity times in Redis
		say(t, e, busy, "after")
	}
	for range 5 {
		w.channel(chat.Private, ann, eve) // channels without messages, to which ann was added
	}
	conn, hello := w.connect(url, ann)
	var got []chat.ChannelID
	for _, c := range hello.Channels {
		if !c.NotFollowed {
			got = append(got, c.ChannelID)
		}
	}
	if want := []chat.ChannelID{mine, busy}; !slices.Equal(got, want) {
		t.Errorf("subscribed to %v, want %v", got, want)
	}
	say(t, e, mine, "still there?")
	conn.Await(t, "it", func(f wstest.Frame) bool { return f.Body == "still there?" })
	conn.Send(t, map[string]any{"type": "unsubscribe", "ref": "u", "channel_id": busy})
	conn.AwaitRef(t, "u")
	// The client subscribes on demand.
	conn.Send(t, map[string]any{"type": "subscribe", "ref": "s", "channel_id": quiet})
	if f := conn.AwaitRef(t, "s"); f.Type != "subscribed" {
		t.Errorf("subscribe on demand: %s", f.Raw)
	}
}

func TestLimit_framesOverTheRateWait(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	url, _ := w.gateway(func(cfg *wsserver.Config) { cfg.FrameRate = config.Rate{Count: 50, Per: time.Second} })
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	began := time.Now()
	var many strings.Builder // each object in a frame counts as a frame
	for i := range 100 {
		fmt.Fprintf(&many, `{"type":"ping","ref":"m%d"}`+"\n", i)
	}
	a.Send(t, many.String())
	for i := range 50 {
		a.Say(t, c, body(i))
	}
	b.Send(t, `{"type":"ping","ref":"at once"}`) // other connections are not delayed
	b.AwaitRef(t, "at once")
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Logf("a slow machine: %v", took)
	}
	a.AwaitSeq(t, c, 1, 50)
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("150 frames took %v; a burst of 100 is allowed, then 50 a second", took)
	}
	next := 0
	for _, f := range a.Frames() {
		if f.Type == "pong" {
			if f.Ref != fmt.Sprint("m", next) {
				t.Fatalf("answer %d: %s", next, f.Raw)
			}
			next++
		}
	}
	if next != 100 {
		t.Errorf("%d answers, want 100", next)
	}
}

func TestLimits_badSettingsNameTheirVariable(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"MAX_CONNECTIONS_PER_USER": "-1", "MAX_CONNECTIONS_PER_ADDRESS": "-5", "MAX_SUBSCRIPTIONS": "-2",
		"FRAME_RATE": "fast", "TRUSTED_PROXIES": "10.0.0.0/99",
	} {
		_, err := wsserver.LoadConfig(func(n string) string {
			if n == name {
				return value
			}
			return ""
		})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v, want an error that names the variable", name, value, err)
		}
	}
}
