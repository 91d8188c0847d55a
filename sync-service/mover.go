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
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// mover appends an event again, under a new seq, if another event holds its seq.
type mover struct{ appender *appender.Appender }

// newMover returns a mover that appends to the event log in Redis.
func newMover(log *eventlog.Log, rdb redis.UniversalClient, stored unstored.Rows, logger *slog.Logger) *mover {
	return &mover{appender: appender.New(log, rdb, stored.MaxSeq, appender.Config{Stored: stored, Logger: logger})}
}

// movedFor is how long the idempotency record of a moved event is kept. While the record exists, an
// entry that is delivered again is not appended again. Afterward, the stored row with the event's
// id prevents a duplicate.
const movedFor = 7 * 24 * time.Hour

// move appends the event of an entry under a new seq. It may be called repeatedly but appends only
// once, because it derives the new client id (the idempotency key) from the event's id and the
// entry's epoch and seq.
//
// move returns false if the event must become a dead letter instead. That applies to events that no
// member sent (joins, leaves, gaps), and to events whose sender left the channel within the last
// two minutes, because the appender refuses them.
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
	_, err = m.appender.Append(ctx, f, appender.Options{Retention: movedFor})
	if err != nil && apierr.CodeOf(err) == apierr.Forbidden {
		return false, nil
	}
	return err == nil, err
}
