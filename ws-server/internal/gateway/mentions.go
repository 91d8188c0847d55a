package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"parley.chat/internal/mention"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/authority"
	"parley.chat/ws-server/internal/coalesce"
)

const (
	// mentionTimeout is how long a message waits, and the connection's next frames with it, to learn whom
	// it mentions.
	mentionTimeout = time.Second
	// mentionRetryInterval is how long nobody waits after that was in vain.
	mentionRetryInterval = 2 * time.Second
)

// mentions finds whom messages speak to. A body without an @ costs nothing; the names of those that are
// sent at the same time are looked up together.
type mentions struct {
	finder     *mention.Finder
	mayCallAll mention.MayCallAll
	names      *coalesce.Group[mention.Name, chat.UserID]
	failedAt   atomic.Int64 // when PostgreSQL last did not answer, in Unix nanoseconds
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

// find returns whom a body mentions. Members go on chatting while PostgreSQL does not answer: what is sent
// then mentions nobody by name, and calls all if the sender was last known to be allowed to.
func (m *mentions) find(ctx context.Context, channel chat.ChannelID, sender chat.UserID, access *authority.User, body string) []chat.UserID {
	found, err := m.finder.Find(ctx, channel, body)
	if err != nil && !errors.Is(err, errStoreDown) && ctx.Err() == nil {
		m.logger.Warn("a message goes without its mentions", "channel_id", channel, "err", err)
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
	found, _ = may.Only(ctx, channel, sender, found)
	return found
}

// errStoreDown says that nobody asked, since there was no answer just now.
var errStoreDown = errors.New("PostgreSQL did not answer just now")

func (m *mentions) lookUp(ctx context.Context, names []mention.Name) ([]chat.UserID, error) {
	return queryStore(ctx, m, func(ctx context.Context) ([]chat.UserID, error) { return m.names.AskAll(ctx, names) })
}

// queryStore asks PostgreSQL, for mentionPatience at most. For mentionAgain after an error nobody is asked:
// the error is errStoreAway then.
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

// mentions returns whom an event of the client's user mentions: nobody with whom the user has a block.
func (c *client) mentions(ctx context.Context, e *frame.Event) []chat.UserID {
	found := c.g.mentions.find(ctx, e.ChannelID, c.user, c.access, e.Body)
	if len(found) == 0 {
		return nil
	}
	return slices.DeleteFunc(found, c.access.HasBlock)
}
