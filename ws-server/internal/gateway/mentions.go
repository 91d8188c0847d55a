package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"parley.chat/internal/eventlog/mention"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/authority"
	"parley.chat/ws-server/internal/coalesce"
)

const (
	// mentionTimeout limits how long a message waits for its mentions to be looked up. The
	// connection's next frames wait until the lookup has ended.
	mentionTimeout = time.Second
	// mentionRetryInterval is the time after a failed lookup during which mentions are not looked
	// up.
	mentionRetryInterval = 2 * time.Second
)

// mentions resolves the mentions in messages. A body without an @ needs no query. Names from
// messages sent at the same time are looked up in one query.
type mentions struct {
	finder     *mention.Finder
	mayCallAll mention.MayCallAll
	names      *coalesce.Group[mention.Name, chat.UserID]
	failedAt   atomic.Int64 // when PostgreSQL last failed, in Unix nanoseconds
	logger     *slog.Logger
}

func newMentions(cfg *Config) *mentions {
	m := &mentions{names: coalesce.New(cfg.Mentions, coalesce.Config{}), logger: cfg.Logger}
	m.finder = mention.FinderBy(m.lookUp)
	m.mayCallAll = func(ctx context.Context, channel chat.ChannelID, user chat.UserID) (bool, error) {
		return queryStore(ctx, m, func(ctx context.Context) (bool, error) { return cfg.MayCallAll(ctx, channel, user) })
	}
	return m
}

// find returns the users that an event mentions, except those who have blocked its sender or are
// blocked by its sender. access is the sender's cached access. While PostgreSQL is down, messages
// are still sent, but they do not mention users by name. A mention of all members is kept only if
// the sender was last known to be allowed to use it.
func (m *mentions) find(ctx context.Context, e *frame.Event, access *authority.User) []chat.UserID {
	found, err := m.finder.Find(ctx, e.ChannelID, e.Body)
	if err != nil && !errors.Is(err, errStoreDown) && ctx.Err() == nil {
		m.logger.Warn("message sent without its mentions", "channel_id", e.ChannelID, "err", err)
	}
	if len(found) == 0 {
		return nil
	}
	may := mention.MayCallAll(func(ctx context.Context, channel chat.ChannelID, user chat.UserID) (bool, error) {
		if allowed, err := m.mayCallAll(ctx, channel, user); err == nil {
			return allowed, nil
		}
		return access.MayCallAll(channel), nil
	})
	found, _ = may.Only(ctx, e.ChannelID, e.SenderID, found)
	if len(found) == 0 {
		return nil
	}
	return slices.DeleteFunc(found, access.HasBlock)
}

// errStoreDown means that PostgreSQL was not queried because a recent query failed.
var errStoreDown = errors.New("PostgreSQL is not queried because it failed a moment ago")

func (m *mentions) lookUp(ctx context.Context, names []mention.Name) ([]chat.UserID, error) {
	return queryStore(ctx, m, func(ctx context.Context) ([]chat.UserID, error) { return m.names.AskAll(ctx, names) })
}

// queryStore queries PostgreSQL with a timeout of mentionTimeout. For mentionRetryInterval after a
// failure it returns errStoreDown without querying.
func queryStore[A any](ctx context.Context, m *mentions, query func(context.Context) (A, error)) (answer A, err error) {
	if time.Since(time.Unix(0, m.failedAt.Load())) < mentionRetryInterval {
		return answer, errStoreDown
	}
	ctx, cancel := context.WithTimeout(ctx, mentionTimeout)
	defer cancel()
	if answer, err = query(ctx); err != nil {
		m.failedAt.Store(time.Now().UnixNano())
	}
	return answer, err
}
