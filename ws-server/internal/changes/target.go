package changes

import (
	"bytes"
	"context"
	"math"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// target is the message that an edit, a deletion, a reaction or a reply refers to.
type target struct {
	seq     int64
	sender  chat.UserID
	sentAt  time.Time
	deleted bool // a deletion was found among the events that were searched; see isDeleted

	// isDeleted uses these fields to decide where else to search for a deletion.
	stored  bool  // the message was found in PostgreSQL
	ringEnd int64 // last seq of the ring, if the message was found there
}

const (
	tailPageSize = 500
	// clockSkew is the assumed maximum difference between the clocks of gateways and Redis.
	clockSkew = 10 * time.Minute
)

// findMessage returns a message in a channel. It searches the hub's ring of recent events, then the
// tail in Redis, then PostgreSQL. A search in this order misses no message, because events are cut
// from the tail only after they have been stored.
func (r *Rules) findMessage(ctx context.Context, channel chat.ChannelID, id chat.EventID) (target, error) {
	s := search{id: id, text: []byte(id.String())}
	if ch := r.Hub.Channel(channel); ch != nil {
		events := ch.Recent()
		for i := len(events) - 1; i >= 0 && !s.found; i-- {
			s.visit(events[i].Kind, events[i].Frame)
		}
		if s.found {
			s.ringEnd = events[len(events)-1].Seq
		}
	}
	if !s.found {
		if err := r.searchTail(ctx, channel, &s); err != nil {
			return target{}, apierr.Wrap(err, apierr.Unavailable, "The event log is not available. Please try again.")
		}
	}
	if s.found {
		if s.kind != event.Message {
			return target{}, apierr.New(apierr.NotFound, "This message does not exist in this channel.")
		}
		return s.target, nil
	}
	m, err := r.Store.Message(ctx, channel, id)
	if err != nil {
		return target{}, err
	}
	return target{seq: m.Seq, sender: m.SenderID, sentAt: m.SentAt, deleted: s.target.deleted, stored: true}, nil
}

// isDeleted reports whether a message that findMessage returned has been deleted. It takes into
// account every deletion that was acknowledged before the call.
func (r *Rules) isDeleted(ctx context.Context, channel chat.ChannelID, id chat.EventID, t target) (bool, error) {
	switch {
	case t.deleted:
		return true, nil
	case t.stored:
		return r.Store.Deleted(ctx, channel, id)
	case t.ringEnd == 0:
		return false, nil // the tail was searched from its end, so a deletion would have been found
	}
	// Search the events that were appended but have not reached the ring yet.
	items, err := r.Log.TailRange(ctx, channel, t.ringEnd+1, math.MaxInt64)
	if err != nil {
		return false, apierr.Wrap(err, apierr.Unavailable, "The event log is not available. Please try again.")
	}
	s := search{id: id, text: []byte(id.String())}
	for _, it := range items {
		s.visit(it.Kind, it.Frame)
	}
	return s.target.deleted, nil
}

// searchTail searches a channel's tail backward. The tail normally contains a few hundred entries,
// and more only while sync-service lags behind. The search stops at entries that were appended
// before the message was created.
func (r *Rules) searchTail(ctx context.Context, channel chat.ChannelID, s *search) error {
	// oldest is the earliest time at which the message may have been appended. If the message id
	// contains no timestamp, oldest is far in the past and does not limit the search.
	oldest := s.id.CreatedAt().Add(-clockSkew)
	items, err := r.Log.Tail(ctx, channel, tailPageSize)
	for err == nil && len(items) > 0 {
		for i := len(items) - 1; i >= 0; i-- {
			if s.visit(items[i].Kind, items[i].Frame); s.found {
				return nil
			}
		}
		first := items[0]
		if first.Seq <= 1 || first.AppendedAt().Before(oldest) {
			return nil
		}
		items, err = r.Log.TailRange(ctx, channel, max(1, first.Seq-tailPageSize), first.Seq-1)
	}
	return err
}

// search is the state of a backward search for a message and its deletion.
type search struct {
	id   chat.EventID
	text []byte // textual form of id

	found bool
	kind  event.Kind // kind of the event with that id
	target
}

// visit examines one event.
func (s *search) visit(kind event.Kind, b []byte) {
	if !bytes.Contains(b, s.text) {
		return
	}
	e, err := frame.DecodeEvent(b)
	if err != nil {
		return // an event that cannot be decoded is treated as not found
	}
	switch {
	case e.ID == s.id:
		s.found, s.kind = true, kind
		s.seq, s.sender, s.sentAt = e.Seq, e.SenderID, e.SentAt.Time
	case kind == event.Delete && e.MessageID != nil && *e.MessageID == s.id:
		s.target.deleted = true
	}
}
