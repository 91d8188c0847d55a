package frame_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/frame"
)

// decoded holds the arguments of one callback of Decode.
type decoded struct {
	c   frame.Client
	err error
}

func decode(data string) (all []decoded) {
	frame.Decode([]byte(data), func(c *frame.Client, err error) { all = append(all, decoded{*c, err}) })
	return all
}

// TestDecode_golden decodes the frames in testdata/client.jsonl, which are those of
// docs/websocket.md. The expected results are in client.golden.
func TestDecode_golden(t *testing.T) {
	file, err := os.ReadFile("testdata/client.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]byte
	types := make(map[frame.Type]bool)
	for line := range bytes.Lines(file) {
		got := decode(string(line))
		if len(got) != 1 || got[0].err != nil {
			t.Fatalf("%s: %+v", line, got)
		}
		types[got[0].c.Type] = true
		lines = append(lines, present(t, got[0].c))
	}
	golden(t, "client.golden", lines)
	for _, want := range []frame.Type{"send", "edit", "delete", "react", "subscribe", "unsubscribe", "typing", "delivered", "read", "presence", "auth", "ping"} {
		if !types[want] {
			t.Errorf("no frame of type %s", want)
		}
	}
	// One WebSocket message may contain all of these objects, with any whitespace between them.
	whole := decode(string(file))
	var pretty bytes.Buffer
	for line := range bytes.Lines(file) {
		if err := json.Indent(&pretty, line, "", "  "); err != nil {
			t.Fatal(err)
		}
	}
	spread := decode(pretty.String())
	for name, got := range map[string][]decoded{"on lines": whole, "pretty-printed": spread} {
		if len(got) != len(lines) {
			t.Fatalf("%s: %d objects, want %d", name, len(got), len(lines))
		}
		for i, d := range got {
			if b := present(t, d.c); d.err != nil || !bytes.Equal(b, lines[i]) {
				t.Errorf("%s: object %d is %s, %v; want %s", name, i+1, b, d.err, lines[i])
			}
		}
	}
}

// present returns the set fields of c as text: non-nil pointers, even to zero values, and non-zero
// values.
func present(t *testing.T, c frame.Client) []byte {
	t.Helper()
	var parts []string
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			continue
		}
		b, err := json.Marshal(v.Field(i).Interface())
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, v.Type().Field(i).Name+"="+string(b))
	}
	return []byte(strings.Join(parts, " "))
}

const (
	chID  = `"channel_id":"0b0e7a52-6d0a-4c0f-9d58-3f8f6a1d2c11"`
	clID  = `"client_id":"6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0001"`
	msgID = `"message_id":"019b7d5c-0000-7000-8000-000000000002"`
	toID  = `"to_user_id":"019b7d5c-0000-7000-8000-0000000000bb"`
	zero  = `"00000000-0000-0000-0000-000000000000"`
)

func TestDecode_errors(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		wantRef    string
		want       []string // parts of the message
	}{
		{"empty", "", "", []string{"empty"}},
		{"only space", " \n\t ", "", []string{"empty"}},
		{"not JSON", "hello", "", []string{"not valid JSON", "byte 1"}},
		{"not JSON within", `{"type":"ping",}`, "", []string{"not valid JSON", "byte 16"}},
		{"cut off", `{"type":"ping","ref":"9"`, "", []string{"ends unexpectedly", "byte 24"}},
		{"not an object", `42`, "", []string{"object", "number"}},
		{"a list", `[{"type":"ping"}]`, "", []string{"object", "array"}},
		{"a string", `"ping"`, "", []string{"object", "string"}},
		{"null", `null`, "", []string{"field type", "required"}},
		{"no type", `{"ref":"9"}`, "9", []string{"field type", "required"}},
		{"unknown type", `{"type":"dance","ref":"9"}`, "9", []string{"unknown", "dance"}},
		{"long unknown type", `{"type":"` + strings.Repeat("x", 5000) + `"}`, "", []string{"unknown"}},
		{"mistyped type", `{"type":7,"ref":"9"}`, "9", []string{"field type", "number"}},
		{"mistyped body", `{"type":"send","body":7,"ref":"9",` + chID + `,` + clID + `}`, "9", []string{"field body", "number"}},
		{"mistyped seq", `{"type":"read",` + chID + `,"seq":"4","ref":"9"}`, "9", []string{"field seq", "string"}},
		{"seq is a fraction", `{"type":"read",` + chID + `,"seq":4.5,"ref":"9"}`, "9", []string{"field seq"}},
		{"seq is too big", `{"type":"read",` + chID + `,"seq":9223372036854775808,"ref":"9"}`, "9", []string{"field seq"}},
		{"mistyped typing", `{"type":"typing",` + chID + `,"typing":"yes","ref":"9"}`, "9", []string{"field typing", "string"}},
		{"mistyped channels", `{"type":"subscribe","channels":{},"ref":"9"}`, "9", []string{"field channels", "object"}},
		{"mistyped within channels", `{"type":"subscribe","channels":[{` + chID + `,"last_seen_seq":"x"}],"ref":"9"}`, "9", []string{"field channels.last_seen_seq", "string"}},
		{"mistyped ref", `{"type":"ping","ref":7}`, "", []string{"field ref", "number"}},
		{"an id that is a number", `{"type":"unsubscribe","channel_id":7,"ref":"9"}`, "9", []string{"field channel_id", "number"}},
		{"an id that is not a UUID", `{"type":"unsubscribe","ref":"9","channel_id":"general"}`, "9", []string{"channel_id"}},
		{"not a UUID, ref after it", `{"type":"send","client_id":"x","ref":"9",` + chID + `}`, "9", []string{"client_id"}},
		{"not a UUID, over-long ref after it", `{"type":"send","client_id":"x","ref":"` + strings.Repeat("r", 65) + `"}`, "", []string{"client_id"}},
		{"message id is not a UUID", `{"type":"delete","message_id":"","ref":"9"}`, "9", []string{"message_id"}},
		{"reply_to is not a UUID", `{"type":"send",` + chID + `,"reply_to":"1","ref":"9"}`, "9", []string{"reply_to"}},
		{"to_user_id is not a UUID", `{"type":"send","to_user_id":"bob","ref":"9"}`, "9", []string{"to_user_id"}},
		{"not a UUID within channels", `{"type":"subscribe","channels":[{"channel_id":"x"}],"ref":"9"}`, "9", []string{"channels"}},
		{"over-long ref", `{"type":"ping","ref":"` + strings.Repeat("r", 65) + `"}`, "", []string{"ref", "64"}},
		{"over-long ref in bytes", `{"type":"ping","ref":"` + strings.Repeat("ä", 33) + `"}`, "", []string{"ref", "64"}},

		{"send: no channel", `{"type":"send","ref":"9",` + clID + `,"body":"x"}`, "9", []string{"required in send frames", "channel_id"}},
		{"send: both targets", `{"type":"send","ref":"9",` + chID + `,` + toID + `,` + clID + `,"body":"x"}`, "9", []string{"not both"}},
		{"send: no client id", `{"type":"send","ref":"9",` + chID + `,"body":"x"}`, "9", []string{"required in send frames", "client_id"}},
		{"send: zero client id", `{"type":"send","ref":"9",` + chID + `,"client_id":` + zero + `,"body":"x"}`, "9", []string{"required in send frames", "client_id"}},
		{"send: null body", `{"type":"send","ref":"9",` + chID + `,` + clID + `,"body":null}`, "9", []string{"required in send frames", "body"}},
		{"edit: no message", `{"type":"edit","ref":"9",` + chID + `,` + clID + `,"body":"x"}`, "9", []string{"required in edit frames", "message_id"}},
		{"edit: no body", `{"type":"edit","ref":"9",` + chID + `,` + clID + `,` + msgID + `}`, "9", []string{"required in edit frames", "body"}},
		{"edit: no client id", `{"type":"edit","ref":"9",` + chID + `,` + msgID + `,"body":"x"}`, "9", []string{"required in edit frames", "client_id"}},
		{"edit: no channel", `{"type":"edit","ref":"9",` + clID + `,` + msgID + `,"body":"x"}`, "9", []string{"required in edit frames", "channel_id"}},
		{"delete: no message", `{"type":"delete","ref":"9",` + chID + `,` + clID + `}`, "9", []string{"required in delete frames", "message_id"}},
		{"delete: no client id", `{"type":"delete","ref":"9",` + chID + `,` + msgID + `}`, "9", []string{"required in delete frames", "client_id"}},
		{"delete: no channel", `{"type":"delete","ref":"9",` + clID + `,` + msgID + `}`, "9", []string{"required in delete frames", "channel_id"}},
		{"react: no emoji", `{"type":"react","ref":"9",` + chID + `,` + clID + `,` + msgID + `}`, "9", []string{"required in react frames", "emoji"}},
		{"react: empty emoji", `{"type":"react","ref":"9",` + chID + `,` + clID + `,` + msgID + `,"emoji":""}`, "9", []string{"field emoji"}},
		{"react: long emoji", `{"type":"react","ref":"9",` + chID + `,` + clID + `,` + msgID + `,"emoji":"` + strings.Repeat("👍", 17) + `"}`, "9", []string{"field emoji"}},
		{"react: emoji of spaces", `{"type":"react","ref":"9",` + chID + `,` + clID + `,` + msgID + `,"emoji":"  "}`, "9", []string{"field emoji"}},
		{"react: emoji that cannot be seen", `{"type":"react","ref":"9",` + chID + `,` + clID + `,` + msgID + `,"emoji":"\u200b\ufe0f"}`, "9", []string{"field emoji"}},
		{"react: emoji of two lines", `{"type":"react","ref":"9",` + chID + `,` + clID + `,` + msgID + `,"emoji":"a\nb"}`, "9", []string{"field emoji"}},
		{"react: no message", `{"type":"react","ref":"9",` + chID + `,` + clID + `,"emoji":"x"}`, "9", []string{"required in react frames", "message_id"}},
		{"react: no client id", `{"type":"react","ref":"9",` + chID + `,` + msgID + `,"emoji":"x"}`, "9", []string{"required in react frames", "client_id"}},
		{"react: no channel", `{"type":"react","ref":"9",` + clID + `,` + msgID + `,"emoji":"x"}`, "9", []string{"required in react frames", "channel_id"}},
		{"subscribe: nothing", `{"type":"subscribe","ref":"9"}`, "9", []string{"required in subscribe frames", "channel_id"}},
		{"subscribe: empty list", `{"type":"subscribe","ref":"9","channels":[]}`, "9", []string{"required in subscribe frames", "channel_id"}},
		{"subscribe: both", `{"type":"subscribe","ref":"9",` + chID + `,"channels":[{` + chID + `}]}`, "9", []string{"not both"}},
		{"subscribe: list without id", `{"type":"subscribe","ref":"9","channels":[{` + chID + `},{"last_seen_seq":1}]}`, "9", []string{"channels[1].channel_id"}},
		{"subscribe: below 0", `{"type":"subscribe","ref":"9",` + chID + `,"last_seen_seq":-1}`, "9", []string{"last_seen_seq", "at least 0"}},
		{"unsubscribe: no channel", `{"type":"unsubscribe","ref":"9"}`, "9", []string{"required in unsubscribe frames", "channel_id"}},
		{"presence: no channel", `{"type":"presence","ref":"9"}`, "9", []string{"required in presence frames", "channel_id"}},
		{"typing: no channel", `{"type":"typing","ref":"9","typing":true}`, "9", []string{"required in typing frames", "channel_id"}},
		{"typing: no state", `{"type":"typing","ref":"9",` + chID + `}`, "9", []string{"field typing", "required in typing frames"}},
		{"delivered: no seq", `{"type":"delivered","ref":"9",` + chID + `}`, "9", []string{"required in delivered frames", "seq"}},
		{"read: no channel", `{"type":"read","ref":"9","seq":1}`, "9", []string{"required in read frames", "channel_id"}},
		{"read: below 0", `{"type":"read","ref":"9",` + chID + `,"seq":-1}`, "9", []string{"seq", "at least 0"}},
		{"auth: no token", `{"type":"auth","ref":"9"}`, "9", []string{"required in auth frames", "token"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := decode(tt.data)
			if len(got) != 1 || got[0].err == nil {
				t.Fatalf("got %+v, want one error", got)
			}
			e := apierr.Of(got[0].err)
			if e.Code != apierr.BadFrame || got[0].c.Ref != tt.wantRef {
				t.Errorf("code %q, ref %q; want bad_frame, %q", e.Code, got[0].c.Ref, tt.wantRef)
			}
			for _, want := range tt.want {
				if !strings.Contains(e.Message, want) {
					t.Errorf("%q does not say %q", e.Message, want)
				}
			}
			if len(e.Message) > 300 {
				t.Errorf("the message has %d bytes", len(e.Message))
			}
		})
	}
}

// TestDecode_continuesAfterABadObject checks that the objects after a bad one are decoded, as long
// as the bad one is valid JSON.
func TestDecode_continuesAfterABadObject(t *testing.T) {
	for _, bad := range []string{
		`{"type":"dance","ref":"1"}`, `{"type":"send","ref":"1"}`, `{"type":"read","ref":"1","seq":"x"}`,
		`{"type":"unsubscribe","ref":"1","channel_id":"x"}`, `{"type":"ping","ref":"` + strings.Repeat("r", 65) + `"}`, `7`, `[]`, `null`,
	} {
		got := decode(`{"type":"ping","ref":"0"}` + "\n" + bad + "\n" + `{"type":"ping","ref":"2"}`)
		if len(got) != 3 || got[0].err != nil || got[1].err == nil || got[2].err != nil || got[0].c.Ref != "0" || got[2].c.Ref != "2" {
			t.Errorf("around %s: %+v", bad, got)
		}
	}
}

// TestDecode_endsAtInvalidJSON checks that invalid JSON ends the frame, because the start of the
// next object is unknown. The objects before it are decoded.
func TestDecode_endsAtInvalidJSON(t *testing.T) {
	for bad, want := range map[string]string{`oops`: "byte 27", `{"type":"ping"`: "byte 40", `}`: "byte 27"} {
		got := decode(`{"type":"ping","ref":"0"}` + "\n" + bad)
		if len(got) != 2 || got[0].err != nil || apierr.CodeOf(got[1].err) != apierr.BadFrame || !strings.Contains(got[1].err.Error(), want) {
			t.Errorf("%s: %+v, want an error at %s", bad, got, want)
		}
	}
	if got := decode("x\n" + `{"type":"ping"}`); len(got) != 1 || got[0].err == nil {
		t.Errorf("continued after invalid JSON: %+v", got)
	}
}

func TestDecode_ignoresUnknownFields(t *testing.T) {
	got := decode(`{"type":"ping","ref":"9","color":{"red":[1,2]},"body2":null}`)
	if len(got) != 1 || got[0].err != nil || got[0].c.Type != frame.Ping {
		t.Errorf("%+v", got)
	}
	long := decode(`{"type":"ping","ref":"` + strings.Repeat("r", frame.MaxRefBytes) + `"}`)
	if len(long) != 1 || long[0].err != nil || len(long[0].c.Ref) != 64 {
		t.Errorf("a ref of 64 bytes: %+v", long)
	}
}

func TestPositions(t *testing.T) {
	one := decode(`{"type":"subscribe",` + chID + `,"last_seen_seq":41,"epoch":"1-a"}`)[0].c.Positions()
	if len(one) != 1 || one[0].ChannelID != channel || *one[0].LastSeenSeq != 41 || one[0].Epoch != "1-a" {
		t.Errorf("%+v", one)
	}
	many := decode(`{"type":"subscribe","channels":[{` + chID + `},{` + chID + `,"last_seen_seq":0}]}`)[0].c.Positions()
	if len(many) != 2 || many[0].LastSeenSeq != nil || *many[1].LastSeenSeq != 0 {
		t.Errorf("%+v: absent and 0 must differ", many)
	}
}

// FuzzDecode checks that no input causes a panic, that every call has a valid frame or an error,
// and that a valid frame has the fields that its type requires.
func FuzzDecode(f *testing.F) {
	if file, err := os.ReadFile("testdata/client.jsonl"); err == nil {
		f.Add(file)
		for line := range bytes.Lines(file) {
			f.Add(line)
		}
	}
	for _, s := range []string{"", "{", "7", "[]", `{"ref":7}`, `{"type":"send","client_id":"x","ref":"1"}{}`, "\xff", `{"type":"ping"}x`, `{"type":"send","body":"\ud800","ref":"1"}`, `{"ref":"\udc00"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		calls := 0
		frame.Decode(data, func(c *frame.Client, err error) {
			calls++
			if len(c.Ref) > frame.MaxRefBytes {
				t.Errorf("a ref of %d bytes was accepted", len(c.Ref))
			}
			if err != nil {
				if code := apierr.CodeOf(err); code != apierr.BadFrame && code != apierr.InvalidBody {
					t.Errorf("%v is neither bad_frame nor invalid_body", err)
				}
				return
			}
			switch c.Type {
			case frame.Send:
				if (c.ChannelID == nil) == (c.ToUserID == nil) || c.ClientID == nil || c.Body == nil {
					t.Errorf("accepted %+v", c)
				}
			case frame.Edit, frame.Delete, frame.React:
				if c.ChannelID == nil || c.MessageID == nil || c.ClientID == nil || c.Type == frame.Edit && c.Body == nil || c.Type == frame.React && c.Emoji == nil {
					t.Errorf("accepted %+v", c)
				}
			case frame.Subscribe:
				if len(c.Positions()) == 0 {
					t.Errorf("accepted %+v", c)
				}
			case frame.Unsubscribe, frame.Presence, frame.Typing, frame.Delivered, frame.Read:
				if c.ChannelID == nil {
					t.Errorf("accepted %+v", c)
				}
			case frame.Auth:
				if c.Token == nil {
					t.Errorf("accepted %+v", c)
				}
			case frame.Ping:
			default:
				t.Errorf("accepted the type %q", c.Type)
			}
		})
		if calls == 0 {
			t.Error("Decode made no call for a frame")
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	send := []byte(`{"type":"send","ref":"1",` + chID + `,` + clID + `,"body":"` + strings.Repeat("hello ", 20) + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		frame.Decode(send, func(_ *frame.Client, err error) {
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}
