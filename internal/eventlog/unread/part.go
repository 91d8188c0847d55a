package unread

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/eventlog/mention"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// part holds the messages of a channel's tail that may not be stored yet. Every event with a seq
// below split is stored. Every message with a seq of split or higher is in the part, unless it is
// deleted.
type part struct {
	after, upTo int64 // the lowest After and the lowest UpTo of the Questions about the channel
	split       int64
	messages    []message
	deleted     []chat.EventID // messages deleted by an event whose seq is split or higher
}

// message is a message in the tail that no later event deletes.
type message struct {
	seq      int64
	sender   chat.UserID
	mentions []chat.UserID
	all      bool // mentions all members
}

// noMentions occurs in a frame only if the message mentions nobody. If a message's text contains
// these characters, the quotes in it are escaped.
var noMentions = []byte(`"mentions":[]`)

// addTail sets the part's contents from the tail's items. items[0] is the oldest item that may not
// be stored yet.
func (p *part) addTail(channel chat.ChannelID, items []event.Item) error {
	var deleted []chat.EventID
	for _, it := range items {
		if it.Kind != event.Delete {
			continue
		}
		e, err := frame.DecodeEvent(it.Frame)
		if err != nil {
			return fmt.Errorf("read deletion %d of channel %s: %w", it.Seq, channel, err)
		}
		if e.MessageID != nil {
			deleted = append(deleted, *e.MessageID)
		}
	}
	for _, it := range items {
		if it.Kind != event.Message {
			continue
		}
		s := message{seq: it.Seq, sender: it.Sender}
		// Most messages are counted without being decoded.
		if len(deleted) > 0 || !bytes.Contains(it.Frame, noMentions) {
			e, err := frame.DecodeEvent(it.Frame)
			if err != nil || slices.Contains(deleted, e.ID) {
				continue // the message is deleted, or will be stored as a tombstone because its frame cannot be decoded
			}
			s.mentions, s.all = e.Mentions, slices.Contains(e.Mentions, mention.All(channel))
		}
		p.messages = append(p.messages, s)
	}
	p.split, p.deleted = items[0].Seq, deleted
	return nil
}

// count counts the part's messages and mentions that match a Question, and adds the counts to n.
func (p *part) count(q Question, n *Count, blocked map[pair]bool) {
	for i := range p.messages {
		s := &p.messages[i]
		if s.seq <= q.After || s.seq > q.UpTo || s.sender == q.User {
			continue
		}
		n.Messages++
		if s.mentionsUser(q.User) && !blocked[pair{q.User, s.sender}] {
			n.Mentions++
		}
	}
}

// mentionsUser reports whether the message mentions a user.
func (s *message) mentionsUser(user chat.UserID) bool {
	return s.all || slices.Contains(s.mentions, user)
}

// pair is a user and the sender of a message that mentions the user.
type pair struct{ user, sender chat.UserID }

// blocked reports, for pairs of a user and a sender, whether one of them has blocked the other. It
// checks each Question's user against the senders of the messages in the tail that mention this
// user.
func (c *Counter) blocked(ctx context.Context, questions []Question, channels map[chat.ChannelID]*part) (map[pair]bool, error) {
	found := make(map[pair]bool)
	var users, senders [][16]byte
	for _, q := range questions {
		p := channels[q.Channel]
		if p == nil {
			continue
		}
		for i := range p.messages {
			s := &p.messages[i]
			at := pair{q.User, s.sender}
			if _, asked := found[at]; !asked && s.sender != q.User && s.mentionsUser(q.User) {
				found[at] = false
				users, senders = append(users, q.User.UUID), append(senders, s.sender.UUID)
			}
		}
	}
	if len(users) == 0 {
		return nil, nil
	}
	err := database.Prepared(ctx, c.cfg.DB, `select k.user_id, k.sender_id from unnest($1::uuid[], $2::uuid[]) k (user_id, sender_id)
		where blocked_between(k.user_id, k.sender_id)`, []any{users, senders}, func(rows pgx.Rows) error {
		var at pair
		err := rows.Scan((*[16]byte)(&at.user.UUID), (*[16]byte)(&at.sender.UUID))
		if err == nil {
			found[at] = true
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read blocks between %d pairs of users: %w", len(users), err)
	}
	return found, nil
}

// countSQL answers the Questions that are passed as the arrays $1 to $4. It counts up to MaxCount
// and ignores the messages in $5. A stored message has an empty body if and only if it is deleted,
// so counting messages scans only a range of the primary key. Counting mentions scans an index that
// contains only messages with mentions.
var countSQL = fmt.Sprintf(`select k.n,
		(select count(*) from (select %[1]s limit %[2]d) a),
		(select count(*) from (select %[1]s and m.data -> 'mentions' is not null
			and jsonb_exists_any(m.data -> 'mentions', array[k.user_id::text, k.id::text])
			and not blocked_between(k.user_id, m.sender_id) limit %[2]d) a)
	from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) with ordinality k (id, user_id, after, before, n)`,
	`from messages m where m.channel_id = k.id and m.seq > k.after and m.seq < k.before
			and m.kind = 'message' and m.sender_id <> k.user_id and m.body <> '' and m.id <> all($5::uuid[])`, MaxCount)

// countStored counts in PostgreSQL the messages whose seq is below their channel's split, which is
// the lowest seq that may not be stored. All later messages are counted in the channel's tail.
func (c *Counter) countStored(ctx context.Context, questions []Question, channels map[chat.ChannelID]*part, counts []Count) error {
	var ids, users [][16]byte
	var after, before []int64
	var indexes []int
	deleted := [][16]byte{} // must not be encoded as null
	for _, p := range channels {
		for _, id := range p.deleted {
			deleted = append(deleted, id.UUID)
		}
	}
	for i, q := range questions {
		p := channels[q.Channel]
		if p == nil {
			continue
		}
		end := min(p.split, q.UpTo+1)
		if q.After+1 >= end {
			continue
		}
		indexes = append(indexes, i)
		ids, users = append(ids, q.Channel.UUID), append(users, q.User.UUID)
		after, before = append(after, q.After), append(before, end)
	}
	if len(indexes) == 0 {
		return nil
	}
	err := database.Prepared(ctx, c.cfg.DB, countSQL, []any{ids, users, after, before, deleted}, func(rows pgx.Rows) error {
		var n int
		var found Count
		err := rows.Scan(&n, &found.Messages, &found.Mentions)
		if err == nil {
			counts[indexes[n-1]] = found
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("count unread messages for %d questions: %w", len(indexes), err)
	}
	return nil
}
