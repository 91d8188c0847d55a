package gateway

import (
	"bytes"
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// target is the message that an edit, a deletion or a reaction is about.
type target struct {
	seq     int64
	sender  chat.UserID
	sentAt  time.Time
	deleted bool // as far as was looked, see deleted

	// Where it was found, and so where its deletion is to be looked for besides.
	stored  bool  // in PostgreSQL
	ringEnd int64 // in the ring, which goes to this seq
}

const (
	tailPageSize = 500
	// clockSkew is how far the clocks of gateways and Redis are believed to be apart at most.
	clockSkew = 10 * time.Minute
)

// findMessage returns a message of a channel: from the ring, else the tail, else PostgreSQL. In this order
// nothing falls between: the tail is cut only below what is stored.
func (g *Gateway) findMessage(ctx context.Context, channel chat.ChannelID, id chat.EventID) (target, error) {
	s := search{id: id, text: []byte(id.String())}
	if ch := g.cfg.Feed.Hub.Channel(channel); ch != nil {
		events := ch.Recent()
		for i := len(events) - 1; i >= 0 && !s.found; i-- {
			s.visit(events[i].Kind, events[i].Frame)
		}
		if s.found {
			s.ringEnd = events[len(events)-1].Seq
		}
	}
	if !s.found {
		if err := g.searchTail(ctx, channel, &s); err != nil {
			return target{}, apierr.Wrap(err, apierr.Unavailable, "the event log does not answer right now")
		}
	}
	if s.found {
		if s.kind != event.Message {
			return target{}, apierr.New(apierr.NotFound, "no such message in this channel")
		}
		return s.target, nil
	}
	m, err := g.cfg.Store.Message(ctx, channel, id)
	if err != nil {
		return target{}, err
	}
	return target{seq: m.Seq, sender: m.SenderID, sentAt: m.SentAt, deleted: s.target.deleted, stored: true}, nil
}

// isDeleted reports whether a message that find has returned is deleted: if the deletion was acknowledged
// before the question was asked, it is seen.
func (g *Gateway) isDeleted(ctx context.Context, channel chat.ChannelID, id chat.EventID, t target) (bool, error) {
	switch {
	case t.deleted:
		return true, nil
	case t.stored:
		return g.cfg.Store.Deleted(ctx, channel, id)
	case t.ringEnd == 0:
		return false, nil // the tail was read from its end
	}
	// What was appended and is still on its way to the ring.
	items, err := g.cfg.Log.TailRange(ctx, channel, t.ringEnd+1, math.MaxInt64)
	if err != nil {
		return false, apierr.Wrap(err, apierr.Unavailable, "the event log does not answer right now")
	}
	s := search{id: id, text: []byte(id.String())}
	for _, it := range items {
		s.visit(it.Kind, it.Frame)
	}
	return s.target.deleted, nil
}

// searchTail looks through a channel's tail, the newest first. It has some hundred items unless storing
// is behind; and it need not be read further back than the message can be.
func (g *Gateway) searchTail(ctx context.Context, channel chat.ChannelID, s *search) error {
	oldest := createdAt(s.id).Add(-clockSkew)
	items, err := g.cfg.Log.Tail(ctx, channel, tailPageSize)
	for err == nil && len(items) > 0 {
		for i := len(items) - 1; i >= 0; i-- {
			if s.visit(items[i].Kind, items[i].Frame); s.found {
				return nil
			}
		}
		first := items[0]
		if first.Seq <= 1 || appendedAt(first.EntryID).Before(oldest) {
			return nil
		}
		items, err = g.cfg.Log.TailRange(ctx, channel, max(1, first.Seq-tailPageSize), first.Seq-1)
	}
	return err
}

// search is what is known of a message while its channel is read backwards.
type search struct {
	id   chat.EventID
	text []byte // of id

	found bool
	kind  event.Kind // of the event that has the id
	target
}

// visit takes one event.
func (s *search) visit(kind event.Kind, b []byte) {
	if !bytes.Contains(b, s.text) {
		return
	}
	e, err := frame.DecodeEvent(b)
	if err != nil {
		return // what cannot be read is no message that could be changed
	}
	switch {
	case e.ID == s.id:
		s.found, s.kind = true, kind
		s.seq, s.sender, s.sentAt = e.Seq, e.SenderID, e.SentAt.Time
	case kind == event.Delete && e.MessageID != nil && *e.MessageID == s.id:
		s.target.deleted = true
	}
}

// createdAt returns when the id, a UUIDv7, was made; the zero time for any other, which says nothing.
func createdAt(id chat.EventID) time.Time {
	if id.Version() != 7 {
		return time.Time{}
	}
	var ms int64
	for _, b := range id.UUID[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms)
}

// appendedAt returns when an entry was appended, by Redis' clock. An id that cannot be read is of now.
func appendedAt(entryID string) time.Time {
	ms, _, _ := strings.Cut(entryID, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Now()
	}
	return time.UnixMilli(n)
}
