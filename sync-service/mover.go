package syncservice

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/sync-service/internal/store"
)

// mover appends events again whose seq another event holds.
type mover struct{ appender *eventlog.Appender }

// newMover returns a mover. rdb must not retry by itself.
func newMover(log *eventlog.Log, rdb redis.UniversalClient, s *store.Store, stored eventlog.Stored, logger *slog.Logger) *mover {
	return &mover{appender: eventlog.NewAppender(log, rdb, s.Head, eventlog.AppenderConfig{Stored: stored, Logger: logger})}
}

// movedFor is for how long an entry that is delivered again is not appended again. After it a row with
// the event's id tells.
const movedFor = 7 * 24 * time.Hour

// move appends the event of an entry under a new seq, and once however often it is called: the client id
// is made of the place that the event claimed, and becomes the event's own. What the channel itself says
// (who came and went, a gap) is not said a second time; nor can the append be made for a sender who has
// left within the last two minutes. Those become dead letters.
func (m *mover) move(ctx context.Context, e event.Entry) (bool, error) {
	if !e.Kind.FromMember() {
		return false, nil
	}
	f, err := frame.DecodeEvent(e.Payload)
	if err != nil {
		return false, fmt.Errorf("payload of event %s: %w", e.ID, err)
	}
	key := chat.ClientID{UUID: uuid.NewSHA1(e.ID.UUID, []byte("moved:"+string(e.Epoch)+":"+strconv.FormatInt(e.Seq, 10)))}
	f.ClientID = &key
	_, err = m.appender.Append(ctx, f, eventlog.AppendOptions{Retention: movedFor})
	if err != nil && apierr.CodeOf(err) == apierr.Forbidden {
		return false, nil
	}
	return err == nil, err
}
