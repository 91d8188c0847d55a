package wire_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"parley.chat/loadtest/internal/wire"
)

func TestParse(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, tt := range []struct {
		name    string
		in      string
		op      byte
		payload string
		size    int
		err     error
	}{
		{"nothing", "", 0, "", 0, nil},
		{"half a header", "\x81", 0, "", 0, nil},
		{"short", "\x81\x02hi", wire.Text, "hi", 4, nil},
		{"short, cut", "\x81\x03hi", 0, "", 0, nil},
		{"16 bits, header cut", "\x81\x7e\x00", 0, "", 0, nil},
		{"16 bits", "\x81\x7e\x00\xc8" + long[:200], wire.Text, long[:200], 204, nil},
		{"64 bits, header cut", "\x82\x7f\x00\x00\x00\x00\x00\x01\x11", 0, "", 0, nil},
		{"64 bits", "\x82\x7f\x00\x00\x00\x00\x00\x01\x11\x70" + long, wire.Binary, long, 70_010, nil},
		{"ping, and more", "\x89\x00\x81", wire.Ping, "", 2, nil},
		{"masked", "\x81\x82....hi", 0, "", 0, wire.ErrMasked},
		{"compressed", "\xc1\x02hi", 0, "", 0, wire.ErrReserved},
		{"absurd", "\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 0, "", 0, wire.ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, size, err := wire.Parse([]byte(tt.in))
			if !errors.Is(err, tt.err) || size != tt.size || f.Op != tt.op || string(f.Payload) != tt.payload {
				t.Errorf("Parse = op %d, %d bytes of payload, size %d, %v", f.Op, len(f.Payload), size, err)
			}
		})
	}
}

// TestAppendFrame_gorillaReadsIt checks that the server's library reads the frames that this
// package writes.
func TestAppendFrame_gorillaReadsIt(t *testing.T) {
	var up websocket.Upgrader
	got := make(chan []byte, 3)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for range cap(got) {
			_, b, err := c.ReadMessage()
			if err != nil {
				t.Error(err)
				return
			}
			got <- b
		}
	}))
	defer server.Close()
	c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, size := range []int{5, 300, 70_000} {
		want := bytes.Repeat([]byte("m"), size)
		if _, err := c.NetConn().Write(wire.AppendFrame(nil, wire.Text, want)); err != nil {
			t.Fatal(err)
		}
		if b := <-got; !bytes.Equal(b, want) {
			t.Errorf("sent %d bytes, the server read %d", size, len(b))
		}
	}
}

const message = `{"type":"message","channel_id":"c","seq":43,"id":"i","body":"1700000000000000001 say \",\"seq\":9","mentions":[]}`

func TestScan(t *testing.T) {
	if k := wire.KindOf([]byte(message)); k != wire.Message {
		t.Errorf("KindOf = %d", k)
	}
	if seq := wire.Seq([]byte(message)); seq != 43 {
		t.Errorf("Seq = %d", seq)
	}
	if stamp := wire.Stamp([]byte(message)); stamp != 1_700_000_000_000_000_001 {
		t.Errorf("Stamp = %d", stamp)
	}
	ack := []byte(`{"type":"ack","ref":"1700000000000000002","channel_id":"c","seq":43}`)
	if wire.KindOf(ack) != wire.Ack || wire.Ref(ack) != 1_700_000_000_000_000_002 {
		t.Errorf("Ref = %d", wire.Ref(ack))
	}
	if wire.KindOf([]byte(`{"type":"presence"}`)) != wire.Other || wire.Seq([]byte(`{}`)) != 0 {
		t.Error("found something in an empty payload")
	}
}

func TestCache_run(t *testing.T) {
	var c wire.Cache
	next := strings.Replace(message, ":43", ":44", 1)
	skip := strings.Replace(message, ":43", ":45", 1)
	for _, tt := range []struct {
		name, payload string
		first         int64
		n             int
		whole         bool
	}{
		{"one", message, 43, 1, true},
		{"again", message, 43, 1, true},
		{"two", message + "\n" + next, 43, 2, true},
		{"one after two", message, 43, 1, true},
		{"hole", message + "\n" + skip, 43, 1, false},
		{"mixed", message + "\n" + `{"type":"ack"}`, 43, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r := c.Run([]byte(tt.payload)); r.First != tt.first || len(r.Stamps) != tt.n || r.Whole != tt.whole {
				t.Errorf("Run = %+v", *r)
			}
		})
	}
}

func TestAppendPadded(t *testing.T) {
	if got := string(wire.AppendPadded(nil, 42, 5)); got != "00042" {
		t.Errorf("AppendPadded = %q", got)
	}
	if got := string(wire.AppendPadded(nil, 123456, 5)); got != "123456" {
		t.Errorf("AppendPadded = %q", got)
	}
}

// FuzzParse checks that no input panics, and that a parsed frame lies within the input.
func FuzzParse(f *testing.F) {
	f.Add([]byte("\x81\x02hi"))
	f.Add([]byte("\x81\x7e\x00\x05hello\x89\x00"))
	f.Add(append([]byte("\x81\x7e\x00\x78"), message...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c wire.Cache
		for len(b) > 0 {
			frame, size, err := wire.Parse(b)
			if err != nil || size == 0 {
				return
			}
			if size > len(b) || len(frame.Payload) > size-2 {
				t.Fatalf("a frame of %d bytes in %d", size, len(b))
			}
			_ = c.Run(frame.Payload)
			_ = wire.CloseCode(frame.Payload)
			b = b[size:]
		}
	})
}

func BenchmarkCache(b *testing.B) {
	var c wire.Cache
	payload := []byte(message + "\n" + strings.Replace(message, ":43", ":44", 1))
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		_ = c.Run(payload)
	}
}

func TestChannel(t *testing.T) {
	const id = "0b5ae5a4-9d1c-4a4e-9f0e-3a1c7a2f9c11"
	if got, ok := wire.Channel([]byte(`{"type":"message","channel_id":"` + id + `","seq":3}`)); !ok || string(got[:]) != id {
		t.Errorf("Channel = %s, %v", got[:], ok)
	}
	if _, ok := wire.Channel([]byte(`{"type":"message","channel_id":"short"}`)); ok {
		t.Error("Channel accepts an object with an incomplete id")
	}
}
