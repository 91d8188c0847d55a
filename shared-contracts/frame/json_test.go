package frame

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// Frames as structs for encoding/json, with the fields in the order of the wire format.
type (
	messageForm struct {
		Type       event.Kind     `json:"type"`
		ChannelID  chat.ChannelID `json:"channel_id"`
		Seq        int64          `json:"seq"`
		ID         chat.EventID   `json:"id"`
		ClientID   *chat.ClientID `json:"client_id"`
		SenderID   chat.UserID    `json:"sender_id"`
		SenderName string         `json:"sender_name"`
		Body       string         `json:"body"`
		Mentions   []chat.UserID  `json:"mentions"`
		ReplyTo    *chat.EventID  `json:"reply_to"`
		SentAt     chat.Time      `json:"sent_at"`
	}
	ackForm struct {
		Type string `json:"type"`
		Ack
	}
)

var awkward = []string{
	"", "hello", `"quoted" \ and / <b>&amp;</b>`, "tab\tline\nreturn\rbell\ab\bf\f\x00\x1f\x7f", "\u2028 and \u2029",
	"Grüße 👍🏽 日本", "cut \xf0\x9f", "\xff", strings.Repeat("x\"", 300),
}

func TestMessage_isWhatJSONWrites(t *testing.T) {
	for _, body := range awkward {
		checkMessage(t, body, body, true)
		checkMessage(t, body, "Ann", false)
	}
}

func FuzzMessage(f *testing.F) {
	for _, s := range awkward {
		f.Add(s, s, len(s)%2 == 0)
	}
	f.Fuzz(checkMessage)
}

func checkMessage(t *testing.T, body, name string, full bool) {
	e := Event{
		Type: event.Message, ChannelID: chat.NewChannelID(), Seq: 43, ID: chat.NewEventID(), SenderID: chat.NewUserID(),
		SenderName: name, Body: body, SentAt: chat.Now(),
	}
	if full {
		client, reply := chat.NewClientID(), chat.NewEventID()
		e.ClientID, e.ReplyTo, e.Mentions = &client, &reply, []chat.UserID{chat.NewUserID(), chat.NewUserID()}
	}
	mentions := e.Mentions
	if mentions == nil {
		mentions = []chat.UserID{}
	}
	want, err := encode(messageForm{e.Type, e.ChannelID, e.Seq, e.ID, e.ClientID, e.SenderID, e.SenderName, e.Body, mentions, e.ReplyTo, e.SentAt})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := e.Encode(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got  %q, %v\nwant %q", got, err, want)
	}
}

func FuzzAck(f *testing.F) {
	for i, s := range awkward {
		f.Add(s, int64(i), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, ref string, seq int64, duplicate bool) {
		a := Ack{
			Ref: ref, ChannelID: chat.NewChannelID(), ClientID: chat.NewClientID(), ID: chat.NewEventID(), Seq: seq,
			SentAt: chat.Now(), Duplicate: duplicate,
		}
		want, err := encode(ackForm{"ack", a})
		if err != nil {
			t.Fatal(err)
		}
		if got := Encode(a); !bytes.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

// FuzzDecodePlain checks that the plain decoder and encoding/json decode the same objects, and that
// no object is decoded twice or skipped when the plain decoder falls back to encoding/json.
func FuzzDecodePlain(f *testing.F) {
	const id = `"6f2c8f0e-4a5b-4c3d-9e1f-0a1b2c3d4e5f"`
	plain := `{"type":"send","ref":"1","channel_id":` + id + `,"client_id":` + id + `,"body":"hello"}`
	f.Add([]byte(plain))
	f.Add([]byte(" " + strings.ReplaceAll(plain, ",", " ,\n\t") + "\r\n"))
	f.Add([]byte(strings.Replace(plain, "hello", `a\n\"b\u00e9\ud83d\udc4d`, 1)))
	f.Add([]byte(strings.Replace(plain, "hello", `\ud83d \x`, 1)))
	f.Add([]byte(strings.Replace(plain, `"body"`, `"Body"`, 1)))
	f.Add([]byte(strings.Replace(plain, `"hello"`, `"hello","body":"twice"`, 1)))
	f.Add([]byte(strings.Replace(plain, `"hello"`, `"hello","reply_to":null`, 1)))
	f.Add([]byte(strings.Replace(plain, `"hello"`, `"hello","reply_to":`+id, 1)))
	f.Add([]byte(strings.Replace(plain, id, `"{6f2c8f0e-4a5b-4c3d-9e1f-0a1b2c3d4e5f}"`, 1)))
	f.Add([]byte(strings.Replace(plain, id, strings.ToUpper(id), 1)))
	f.Add([]byte(plain + "\n" + plain))
	f.Add([]byte(plain + ` x ` + plain))
	cursor := `{"type":"read","channel_id":` + id + `,"seq":17}`
	for _, seq := range []string{"0", "-1", "-0", "017", "1.5", "1e3", "-", "", "9223372036854775807", "9223372036854775808", `"17"`, "null", "+1"} {
		f.Add([]byte(strings.Replace(cursor, "17", seq, 1)))
	}
	f.Add([]byte(cursor + "\n" + strings.Replace(cursor, "read", "delivered", 1) + "\n"))
	f.Add([]byte(cursor + cursor + `{"type":"typing","channel_id":` + id + `,"typing":true} ` + cursor))
	f.Add([]byte(cursor + "\n" + cursor[:40]))
	f.Add([]byte(cursor + `{"type":"read","channel_id":"x"}` + cursor))
	f.Add([]byte(cursor + strings.Replace(cursor, "{", `{"ref":"`+strings.Repeat("r", MaxRefBytes+1)+`",`, 1) + cursor))
	f.Add([]byte(`{"type":"send"}`))
	f.Add([]byte(`{"type":"ping","ref":"1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		type result struct {
			c   Client
			err string
		}
		read := func(decode func([]byte, func(*Client, error))) (all []result) {
			decode(data, func(c *Client, err error) {
				r := result{c: *c}
				if err != nil {
					r.err = err.Error()
				}
				all = append(all, r)
			})
			return all
		}
		long := func(data []byte, each func(*Client, error)) { decodeAny(data, 0, new(Client), each) }
		if got, want := read(Decode), read(long); !reflect.DeepEqual(got, want) {
			t.Errorf("%q\ngot  %+v\nwant %+v", data, got, want)
		}
	})
}

// TestHotPath_allocations limits the number of allocations per frame, so that an additional one is
// noticed.
func TestHotPath_allocations(t *testing.T) {
	client := chat.NewClientID()
	e := Event{
		Type: event.Message, ChannelID: chat.NewChannelID(), ID: chat.NewEventID(), ClientID: &client, SenderID: chat.NewUserID(),
		SenderName: "Ann", Body: strings.Repeat("hello ", 20), SentAt: chat.Now(),
	}
	send := []byte(`{"type":"send","ref":"17","channel_id":"` + e.ChannelID.String() + `","client_id":"` + client.String() + `","body":"` + e.Body + `"}`)
	read := []byte(`{"type":"read","channel_id":"` + e.ChannelID.String() + `","seq":17}`)
	for name, tt := range map[string]struct {
		most float64
		do   func()
	}{
		"decode a send":    {3, func() { Decode(send, func(*Client, error) {}) }}, // the fields, the ref, the body
		"decode a cursor":  {1, func() { Decode(read, func(*Client, error) {}) }},
		"encode a message": {2, func() { _, _, _ = e.EncodeAround() }},
		"encode an ack":    {2, func() { Encode(Ack{Ref: "17", ChannelID: e.ChannelID, ClientID: client, ID: e.ID, SentAt: e.SentAt}) }}, // the frame and the interface value
	} {
		if got := testing.AllocsPerRun(100, tt.do); got > tt.most {
			t.Errorf("%s: %v allocations, want at most %v", name, got, tt.most)
		}
	}
}
