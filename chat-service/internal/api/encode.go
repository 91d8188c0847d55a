package api

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// encode writes v as JSON without HTML escaping, as the gateways do. The generated code calls it.
// The two most frequently requested responses are written without reflection, which saves a tenth
// of the response time. A test compares their output with that of encoding/json, byte for byte.
func encode(buf *bytes.Buffer, v any) error {
	switch page := v.(type) {
	case ListMessages200JSONResponse:
		if page.AsOfSeq == nil { // pages at an earlier point are rare
			writePage(buf, page.Items, page.NextCursor, 512, appendMessage)
			return nil
		}
	case ListChannels200JSONResponse:
		writePage(buf, page.Items, page.NextCursor, 384, appendChannel)
		return nil
	}
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// writePage writes a page of items; size is the approximate length of an item in bytes.
func writePage[T any](buf *bytes.Buffer, items []T, next *NextCursor, size int, one func([]byte, *T) []byte) {
	buf.Grow(64 + size*len(items))
	b := append(buf.AvailableBuffer(), `{"items":`...)
	b = appendList(b, items, one)
	b = append(b, `,"next_cursor":`...)
	if next == nil {
		b = append(b, "null"...)
	} else {
		b = frame.AppendString(b, *next)
	}
	buf.Write(append(b, "}\n"...))
}

func appendList[T any](b []byte, items []T, one func([]byte, *T) []byte) []byte {
	if items == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, &items[i])
	}
	return append(b, ']')
}

func appendMessage(b []byte, m *Message) []byte {
	b = frame.AppendString(append(b, `{"body":`...), m.Body)
	b = appendID(append(b, `,"channel_id":`...), m.ChannelID.UUID)
	b = append(b, `,"client_id":`...)
	if m.ClientID == nil {
		b = append(b, "null"...)
	} else {
		b = appendID(b, m.ClientID.UUID)
	}
	b = appendTime(append(b, `,"deleted_at":`...), m.DeletedAt)
	b = appendTime(append(b, `,"edited_at":`...), m.EditedAt)
	b = appendID(append(b, `,"id":`...), m.ID.UUID)
	b = appendList(append(b, `,"mentions":`...), m.Mentions, appendUser)
	b = appendList(append(b, `,"reactions":`...), m.Reactions, appendReaction)
	b = append(b, `,"reply_to":`...)
	if m.ReplyTo == nil {
		b = append(b, "null"...)
	} else {
		b = appendID(b, m.ReplyTo.UUID)
	}
	if m.SenderDeleted {
		b = append(b, `,"sender_deleted":true`...)
	}
	b = appendID(append(b, `,"sender_id":`...), m.SenderID.UUID)
	b = frame.AppendString(append(b, `,"sender_name":`...), m.SenderName)
	b = appendTime(append(b, `,"sent_at":`...), &m.SentAt)
	b = strconv.AppendInt(append(b, `,"seq":`...), m.Seq, 10)
	return append(b, '}')
}

func appendReaction(b []byte, r *Reaction) []byte {
	b = strconv.AppendInt(append(b, `{"count":`...), int64(r.Count), 10)
	b = frame.AppendString(append(b, `,"emoji":`...), r.Emoji)
	b = appendList(append(b, `,"user_ids":`...), r.UserIDs, appendUser)
	return append(b, '}')
}

func appendChannel(b []byte, c *Channel) []byte {
	b = appendTime(append(b, `{"created_at":`...), &c.CreatedAt)
	b = append(b, `,"created_by":`...)
	if c.CreatedBy == nil {
		b = append(b, "null"...)
	} else {
		b = appendID(b, c.CreatedBy.UUID)
	}
	b = frame.AppendString(append(b, `,"description":`...), c.Description)
	b = append(b, `,"group_id":`...)
	if c.GroupID == nil {
		b = append(b, "null"...)
	} else {
		b = appendID(b, c.GroupID.UUID)
	}
	b = appendID(append(b, `,"id":`...), c.ID.UUID)
	if c.JoinedSeq != nil {
		b = strconv.AppendInt(append(b, `,"joined_seq":`...), *c.JoinedSeq, 10)
	}
	b = frame.AppendString(append(b, `,"kind":`...), string(c.Kind))
	b = strconv.AppendInt(append(b, `,"last_read_seq":`...), c.LastReadSeq, 10)
	b = strconv.AppendInt(append(b, `,"last_seq":`...), c.LastSeq, 10)
	b = strconv.AppendInt(append(b, `,"member_count":`...), int64(c.MemberCount), 10)
	b = frame.AppendString(append(b, `,"mention_all":`...), string(c.MentionAll))
	b = frame.AppendString(append(b, `,"name":`...), c.Name)
	if c.Peer != nil {
		b = frame.AppendString(append(b, `,"peer":{"display_name":`...), c.Peer.DisplayName)
		b = appendID(append(b, `,"user_id":`...), c.Peer.UserID.UUID)
		b = frame.AppendString(append(b, `,"username":`...), c.Peer.Username)
		b = append(b, '}')
	}
	if c.Role != nil {
		b = frame.AppendString(append(b, `,"role":`...), string(*c.Role))
	}
	b = strconv.AppendInt(append(b, `,"unread":`...), int64(c.Unread), 10)
	b = strconv.AppendInt(append(b, `,"unread_mentions":`...), int64(c.UnreadMentions), 10)
	return append(b, '}')
}

func appendUser(b []byte, id *UserID) []byte { return appendID(b, id.UUID) }

func appendID(b []byte, id uuid.UUID) []byte {
	return append(chat.AppendUUID(append(b, '"'), id), '"')
}

func appendTime(b []byte, t *chat.Time) []byte {
	if t == nil {
		return append(b, "null"...)
	}
	return append(t.AppendTo(append(b, '"')), '"')
}
