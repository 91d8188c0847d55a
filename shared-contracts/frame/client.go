// Package frame defines the frames of version 1 of the WebSocket protocol. A frame contains one
// JSON object, or several separated by newlines.
package frame

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/text"
)

// Subprotocol is offered by clients and echoed by the server. A client that offers no subprotocol
// uses version 1.
const Subprotocol = "parley.v1"

// Limits on frames and fields from clients, in bytes.
const (
	MaxClientBytes = 128 << 10 // of one frame
	MaxRefBytes    = 64
	MaxEmojiBytes  = 64
)

// Type is the type of a frame.
type Type string

// Types of frames that clients send.
const (
	Send        Type = "send"
	Edit        Type = "edit"
	Delete      Type = "delete"
	React       Type = "react"
	Subscribe   Type = "subscribe"
	Unsubscribe Type = "unsubscribe"
	Typing      Type = "typing"
	Delivered   Type = "delivered"
	Read        Type = "read"
	Presence    Type = "presence"
	Auth        Type = "auth"
	Ping        Type = "ping"
)

// Client is a frame of any type that a client sends. If a pointer field is nil, the frame did not
// contain that field.
type Client struct {
	Type      Type            `json:"type"`
	Ref       string          `json:"ref"`
	ChannelID *chat.ChannelID `json:"channel_id"`
	ToUserID  *chat.UserID    `json:"to_user_id"`
	ClientID  *chat.ClientID  `json:"client_id"`
	MessageID *chat.EventID   `json:"message_id"`
	ReplyTo   *chat.EventID   `json:"reply_to"`
	Body      *string         `json:"body"`
	Emoji     *string         `json:"emoji"`
	Remove    bool            `json:"remove"`
	Typing    *bool           `json:"typing"`
	Seq       *int64          `json:"seq"`
	Token     *string         `json:"token"`
	After     string          `json:"after,omitempty"` // presence: the value of next from the previous answer

	LastSeenSeq *int64            `json:"last_seen_seq"`
	Epoch       string            `json:"epoch"`
	Channels    []ChannelPosition `json:"channels"`
}

// ChannelPosition is a channel in a subscribe frame. LastSeenSeq is the seq of the newest event in
// the channel that the client has received.
type ChannelPosition struct {
	ChannelID   chat.ChannelID `json:"channel_id"`
	LastSeenSeq *int64         `json:"last_seen_seq"`
	Epoch       string         `json:"epoch"`
}

var clients = sync.Pool{New: func() any { return new(Client) }}

// Decode decodes the objects in one frame and calls the function each for every object, in order.
// If an object is invalid, err is an *apierr.Error that describes the problem, and c contains the
// ref if it could be decoded. If an object is not valid JSON, Decode ignores the rest of the frame,
// because the start of the next object is unknown.
//
// Decode reuses *c when each has returned, but it does not reuse the values to which the fields
// point.
func Decode(data []byte, each func(c *Client, err error)) {
	// Pass a pointer to a pooled Client. Copies on the stack would make the connections' goroutine
	// stacks grow, and the stacks would stay large while the goroutines wait.
	c := clients.Get().(*Client)
	defer func() {
		*c = Client{} // so that the pool does not retain the referenced values
		clients.Put(c)
	}()
	p := plain{data: data}
	p.space()
	for at := 0; ; at = p.at {
		if *c = (Client{}); !p.decode(c) {
			decodeAny(data, at, c, each)
			return
		}
		each(c, c.check())
		if p.ended() {
			return
		}
	}
}

// decodeAny decodes data[from:] with encoding/json. The data before from must consist of complete
// objects. Byte offsets in errors count from the start of the frame.
func decodeAny(data []byte, from int, c *Client, each func(c *Client, err error)) {
	rest := data[from:]
	dec := json.NewDecoder(bytes.NewReader(rest))
	for n := 0; ; n++ {
		*c = Client{}
		start := dec.InputOffset()
		err := dec.Decode(c)
		if errors.Is(err, io.EOF) {
			if n == 0 {
				each(c, apierr.New(apierr.BadFrame, "The frame is empty."))
			}
			return
		}
		if _, mistyped := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !mistyped {
			if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
				each(c, apierr.New(apierr.BadFrame, "The frame is not valid JSON at byte %d: %v.", int64(from)+syntax.Offset, syntax))
				return
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				each(c, apierr.New(apierr.BadFrame, "The frame's JSON ends unexpectedly at byte %d.", len(data)))
				return
			}
			// A field's UnmarshalText has rejected its value, for example an id that is not a UUID.
			// The decoder has consumed the whole object but has not decoded the fields after the
			// rejected one. Continue with the next object.
			object := rest[start:dec.InputOffset()]
			var known struct{ Ref string }
			if json.Unmarshal(object, &known) == nil && len(known.Ref) <= MaxRefBytes {
				c.Ref = known.Ref
			}
			each(c, apierr.InvalidField(apierr.BadFrame, badID(object), apierr.Violates(apierr.FieldUUID, "must be a UUID")))
			continue
		}
		if len(c.Ref) > MaxRefBytes {
			c.Ref = ""
			each(c, apierr.InvalidField(apierr.BadFrame, "ref", apierr.Violates(apierr.FieldBytes, "must have at most %d bytes", MaxRefBytes).AtMost(MaxRefBytes)))
			continue
		}
		if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			if mistyped.Field == "" {
				each(c, apierr.New(apierr.BadFrame, "A frame must be a JSON object, not a value of type %s.", mistyped.Value))
				continue
			}
			each(c, apierr.InvalidField(apierr.BadFrame, mistyped.Field, apierr.Violates(apierr.FieldType, "has the wrong type: %s", mistyped.Value)))
			continue
		}
		if halves := text.Halves(rest[start:dec.InputOffset()]); halves != nil {
			each(c, c.half(halves[0]))
			continue
		}
		each(c, c.check())
	}
}

// half returns the error for a field that contains half of a surrogate pair. If the field is ref,
// half also clears c.Ref.
func (c *Client) half(field string) error {
	switch field {
	case "body":
		return apierr.InvalidField(apierr.InvalidBody, field, text.ErrHalf())
	case "ref":
		c.Ref = ""
	}
	return apierr.InvalidField(apierr.BadFrame, field, text.ErrHalf())
}

// badID returns the name of the first id field whose value is not a UUID. encoding/json does not
// report this name in its error.
func badID(object []byte) string {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(object, &fields) // cannot fail: it has been decoded before
	for _, name := range []string{"channel_id", "to_user_id", "client_id", "message_id", "reply_to"} {
		var id chat.EventID // all id types have the same form
		if raw, ok := fields[name]; ok && json.Unmarshal(raw, &id) != nil {
			return name
		}
	}
	return "channels.channel_id"
}

// check verifies that the frame has all fields that its type requires. It returns nil or an
// *apierr.Error.
func (c *Client) check() error {
	missing := func(field string) error {
		return apierr.InvalidField(apierr.BadFrame, field, apierr.Violates(apierr.FieldRequired, "is required in %s frames", c.Type))
	}
	needs := func(present bool, field string, err error) error {
		if err == nil && !present {
			return missing(field)
		}
		return err
	}
	var err error
	switch c.Type {
	case Send:
		if c.ChannelID != nil && c.ToUserID != nil {
			return apierr.New(apierr.BadFrame, "A send frame must have either channel_id or to_user_id, not both.")
		}
		err = needs(c.ChannelID != nil || c.ToUserID != nil, "channel_id", err)
		err = needs(c.hasClientID(), "client_id", err)
		err = needs(c.Body != nil, "body", err)
	case Edit:
		err = needs(c.ChannelID != nil, "channel_id", err)
		err = needs(c.hasClientID(), "client_id", err)
		err = needs(c.MessageID != nil, "message_id", err)
		err = needs(c.Body != nil, "body", err)
	case Delete:
		err = needs(c.ChannelID != nil, "channel_id", err)
		err = needs(c.hasClientID(), "client_id", err)
		err = needs(c.MessageID != nil, "message_id", err)
	case React:
		err = needs(c.ChannelID != nil, "channel_id", err)
		err = needs(c.hasClientID(), "client_id", err)
		err = needs(c.MessageID != nil, "message_id", err)
		err = needs(c.Emoji != nil, "emoji", err)
		if err == nil {
			err = c.checkEmoji()
		}
	case Subscribe:
		if c.ChannelID != nil && c.Channels != nil {
			return apierr.New(apierr.BadFrame, "A subscribe frame must have either channel_id or channels, not both.")
		}
		err = needs(c.ChannelID != nil || len(c.Channels) > 0, "channel_id", err)
		for i, p := range c.Positions() {
			if p.ChannelID.IsZero() {
				return missing(fmt.Sprintf("channels[%d].channel_id", i))
			}
			if p.LastSeenSeq != nil && *p.LastSeenSeq < 0 {
				return apierr.InvalidField(apierr.BadFrame, "last_seen_seq", errNegative())
			}
		}
	case Unsubscribe, Presence:
		err = needs(c.ChannelID != nil, "channel_id", err)
	case Typing:
		err = needs(c.ChannelID != nil, "channel_id", err)
		err = needs(c.Typing != nil, "typing", err)
	case Delivered, Read:
		err = needs(c.ChannelID != nil, "channel_id", err)
		err = needs(c.Seq != nil, "seq", err)
		if err == nil && *c.Seq < 0 {
			return apierr.InvalidField(apierr.BadFrame, "seq", errNegative())
		}
	case Auth:
		err = needs(c.Token != nil, "token", err)
	case Ping:
	case "":
		return apierr.InvalidField(apierr.BadFrame, "type", apierr.Violates(apierr.FieldRequired, "is required"))
	default:
		return apierr.New(apierr.BadFrame, "The frame type %.40q is unknown.", string(c.Type))
	}
	return err
}

func errNegative() error {
	return apierr.Violates(apierr.FieldRange, "must be at least 0").AtLeast(0)
}

// checkEmoji replaces the emoji with its fully qualified form. If the frame removes a reaction, the
// field may contain other text, because earlier releases stored reactions that are not emoji.
func (c *Client) checkEmoji() error {
	if emoji, ok := text.Emoji(*c.Emoji); ok {
		c.Emoji = &emoji
		return nil
	}
	if c.Remove && len(*c.Emoji) <= MaxEmojiBytes && !chat.IsBlank(*c.Emoji) && chat.CheckLine(*c.Emoji, MaxEmojiBytes) == nil {
		return nil
	}
	return apierr.InvalidField(apierr.BadFrame, "emoji", apierr.Violates(apierr.FieldEmoji, "must be exactly one Unicode emoji"))
}

func (c *Client) hasClientID() bool { return c.ClientID != nil && !c.ClientID.IsZero() }

// Positions returns the channels of a subscribe frame, whether it uses channel_id or channels.
func (c *Client) Positions() []ChannelPosition {
	if c.ChannelID != nil {
		return []ChannelPosition{{*c.ChannelID, c.LastSeenSeq, c.Epoch}}
	}
	return c.Channels
}
