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
	// mentionPatience is how long a message waits, and the connection's next frames with it, to learn whom
	// it mentions.
	mentionPatience = time.Second
	// mentionAgain is how long nobody waits after that was in vain.
	mentionAgain = 2 * time.Second
)

// mentions finds whom messages speak to. A body without an @ costs nothing; the names of those that are
// sent at the same time are looked up together.
type mentions struct {
	finder *mention.Finder
	all    mention.MayCallAll
	names  *coalesce.Group[mention.Name, chat.UserID]
	failed atomic.Int64 // when PostgreSQL last did not answer, in Unix nanoseconds
	logger *slog.Logger
}

func newMentions(cfg *Config) *mentions {
	m := &mentions{names: coalesce.New(cfg.Mentions, coalesce.Config{}), logger: cfg.Logger}
	m.finder = mention.FinderBy(m.look)
	m.all = func(ctx context.Context, channel chat.ChannelID, user chat.UserID) (bool, error) {
		return askStore(ctx, m, func(ctx context.Context) (bool, error) { return cfg.MayCallAll(ctx, channel, user) })
	}
	return m
}

// in returns whom a body mentions. Members go on chatting while PostgreSQL does not answer: what is sent
// then mentions nobody by name, and calls all if the sender was last known to be allowed to.
func (m *mentions) in(ctx context.Context, channel chat.ChannelID, sender chat.UserID, who *authority.User, body string) []chat.UserID {
	found, err := m.finder.Find(ctx, channel, body)
	if err != nil && !errors.Is(err, errStoreAway) && ctx.Err() == nil {
		m.logger.Warn("a message goes without its mentions", "channel_id", channel, "err", err)
	}
	if len(found) == 0 {
		return nil
	}
	may := mention.MayCallAll(func(ctx context.Context, channel chat.ChannelID, user chat.UserID) (bool, error) {
		if allowed, err := m.all(ctx, channel, user); err == nil {
			return allowed, nil
		}
		return who.MayCallAll(channel), nil
	})
	found, _ = may.Only(ctx, channel, sender, found)
	return found
}

// errStoreAway says that nobody asked, since there was no answer just now.
var errStoreAway = errors.New("PostgreSQL did not answer just now")

func (m *mentions) look(ctx context.Context, names []mention.Name) ([]chat.UserID, error) {
	return askStore(ctx, m, func(ctx context.Context) ([]chat.UserID, error) { return m.names.AskAll(ctx, names) })
}

// askStore asks PostgreSQL, for mentionPatience at most. For mentionAgain after an error nobody is asked:
// the error is errStoreAway then.
func askStore[A any](ctx context.Context, m *mentions, ask func(context.Context) (A, error)) (answer A, err error) {
	if time.Since(time.Unix(0, m.failed.Load())) < mentionAgain {
		return answer, errStoreAway
	}
	ctx, cancel := context.WithTimeout(ctx, mentionPatience)
	defer cancel()
	if answer, err = ask(ctx); err != nil {
		m.failed.Store(time.Now().UnixNano())
	}
	return answer, err
}

// mentions returns whom an event of the client's user mentions: nobody with whom the user has a block.
func (c *client) mentions(ctx context.Context, e *frame.Event) []chat.UserID {
	found := c.g.mentions.in(ctx, e.ChannelID, c.user, c.who, e.Body)
	if len(found) == 0 {
		return nil
	}
	return slices.DeleteFunc(found, c.who.HasBlock)
}
