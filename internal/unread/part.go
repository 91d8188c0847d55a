package unread

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/database"
	"parley.chat/internal/mention"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// part is what the tail has of a channel. Below split every event is stored; from there on all are here.
type part struct {
	after, upTo int64 // the least of all questions about the channel
	split       int64
	said        []said
	gone        []chat.EventID // messages that are deleted by events from split on
}

// said is a message that is not deleted by what follows it in the tail.
type said struct {
	seq      int64
	sender   chat.UserID
	mentions []chat.UserID
	all      bool // mentions everybody
}

// nobody is how a frame says that it mentions nobody. Inside of a text the quotes would be escaped.
var nobody = []byte(`"mentions":[]`)

// take sets what the tail has from its first item that may not be stored.
func (p *part) take(channel chat.ChannelID, items []event.Item) error {
	var gone []chat.EventID
	for _, it := range items {
		if it.Kind != event.Delete {
			continue
		}
		e, err := frame.DecodeEvent(it.Frame)
		if err != nil {
			return fmt.Errorf("read deletion %d of channel %s: %w", it.Seq, channel, err)
		}
		if e.MessageID != nil {
			gone = append(gone, *e.MessageID)
		}
	}
	for _, it := range items {
		if it.Kind != event.Message {
			continue
		}
		s := said{seq: it.Seq, sender: it.Sender}
		if len(gone) > 0 || !bytes.Contains(it.Frame, nobody) { // most are counted unread
			e, err := frame.DecodeEvent(it.Frame)
			if err != nil || slices.Contains(gone, e.ID) {
				continue // what cannot be read is stored as a tombstone
			}
			s.mentions, s.all = e.Mentions, slices.Contains(e.Mentions, mention.All(channel))
		}
		p.said = append(p.said, s)
	}
	p.split, p.gone = items[0].Seq, gone
	return nil
}

// count adds what a question has from the split on.
func (p *part) count(q Question, n *Count, blocked map[pair]bool) {
	for i := range p.said {
		s := &p.said[i]
		if s.seq <= q.After || s.seq > q.UpTo || s.sender == q.User {
			continue
		}
		n.Messages++
		if s.calls(q.User) && !blocked[pair{q.User, s.sender}] {
			n.Mentions++
		}
	}
}

// calls reports whether a message mentions a user.
func (s *said) calls(user chat.UserID) bool { return s.all || slices.Contains(s.mentions, user) }

// pair is a user and the sender of a message that mentions them.
type pair struct{ user, sender chat.UserID }

// blocked returns the pairs of a user and a sender with a block between them. It looks at the users of questions, and
// at the senders of messages in the tails that mention them.
func (c *Counter) blocked(ctx context.Context, questions []Question, channels map[chat.ChannelID]*part) (map[pair]bool, error) {
	found := make(map[pair]bool)
	var users, senders [][16]byte
	for _, q := range questions {
		p := channels[q.Channel]
		if p == nil {
			continue
		}
		for i := range p.said {
			s := &p.said[i]
			at := pair{q.User, s.sender}
			if _, asked := found[at]; !asked && s.sender != q.User && s.calls(q.User) {
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
		return nil, fmt.Errorf("look for blocks between %d pairs of users: %w", len(users), err)
	}
	return found, nil
}

// countSQL counts each of the questions $1 to $4 up to Most, without the messages $5. What is stored and
// deleted has no body any more, which no other message is without; so the range of the primary key is all
// that counting takes, and for the mentions an index of their own, which has no other messages.
var countSQL = fmt.Sprintf(`select k.n,
		(select count(*) from (select %[1]s limit %[2]d) a),
		(select count(*) from (select %[1]s and m.data -> 'mentions' is not null
			and jsonb_exists_any(m.data -> 'mentions', array[k.user_id::text, k.id::text])
			and not blocked_between(k.user_id, m.sender_id) limit %[2]d) a)
	from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) with ordinality k (id, user_id, after, before, n)`,
	`from messages m where m.channel_id = k.id and m.seq > k.after and m.seq < k.before
			and m.kind = 'message' and m.sender_id <> k.user_id and m.body <> '' and m.id <> all($5::uuid[])`, Most)

// countStored counts below the split.
func (c *Counter) countStored(ctx context.Context, questions []Question, channels map[chat.ChannelID]*part, counts []Count) error {
	var ids, users [][16]byte
	var after, before []int64
	var place []int
	gone := [][16]byte{} // not null
	for _, p := range channels {
		for _, id := range p.gone {
			gone = append(gone, id.UUID)
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
		place = append(place, i)
		ids, users = append(ids, q.Channel.UUID), append(users, q.User.UUID)
		after, before = append(after, q.After), append(before, end)
	}
	if len(place) == 0 {
		return nil
	}
	err := database.Prepared(ctx, c.cfg.DB, countSQL, []any{ids, users, after, before, gone}, func(rows pgx.Rows) error {
		var n int
		var found Count
		err := rows.Scan(&n, &found.Messages, &found.Mentions)
		if err == nil {
			counts[place[n-1]] = found
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("count unread messages at %d places: %w", len(place), err)
	}
	return nil
}
