package presence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"parley.chat/internal/platform/redisscript"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

// pageUsers is the approximate number of users in a page of a large channel.
const pageUsers = 100

// ErrCursor is returned for a cursor that was not returned by an earlier call.
var ErrCursor = errors.New("not a cursor of a presence answer")

// Online holds the number and the list of the users who are online in a channel.
type Online struct {
	Count int
	Users []chat.UserID // the channel's online users; one page of them if the channel is large
	Next  string        // cursor of the next page; "" if there is none
}

// Online returns the users who are online. In a large channel it returns only the count and a
// cursor. A call with that cursor returns the first page of users and the cursor of the next page.
// The pages are not a snapshot: a user who stays online appears at least once, and a user who
// connects or leaves during the listing may be missing.
func (p *Presence) Online(ctx context.Context, id chat.ChannelID, cursor string) (Online, error) {
	at, err := parsePosition(cursor)
	if err != nil {
		return Online{}, err
	}
	alive, err := p.alive(ctx)
	if err != nil {
		return Online{}, err
	}
	part := p.partition(id)
	keys := []string{rediskey.OnlineCount(part, id)}
	for _, gateway := range alive {
		keys = append(keys, rediskey.Online(part, id, gateway))
	}
	c := &redisscript.Call{Script: onlineScript, Keys: keys, Args: []any{alive.digest()}}
	if err := p.run(ctx, []*redisscript.Call{c}); err != nil {
		return Online{}, fmt.Errorf("read who is online in channel %s: %w", id, err)
	}
	reply, err := c.Reply.Slice()
	if err != nil || len(reply) != 2 {
		return Online{}, fmt.Errorf("the presence script returned %v: %w", reply, err)
	}
	count, _ := reply[0].(int64)
	members, _ := reply[1].([]any)
	o := Online{Count: int(count)}
	switch {
	case cursor != "":
		o.Users, o.Next, err = p.page(ctx, id, alive, at)
		return o, err
	case o.Count > LargeChannel:
		o.Next = position{}.String()
	}
	for _, m := range members {
		text, _ := m.(string)
		if u, err := chat.ParseUserID(text); err == nil {
			o.Users = append(o.Users, u)
		}
	}
	return o, nil
}

// page reads one page of online users from the gateways' sets, starting at the given position.
func (p *Presence) page(ctx context.Context, id chat.ChannelID, alive gateways, at position) (users []chat.UserID, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	seen := make(map[chat.UserID]struct{}, pageUsers)
	i, found := slices.BinarySearch(alive, at.gateway)
	if !found {
		at.scan = 0 // the gateway in the cursor is no longer live; continue with the next gateway
	}
	for ; i < len(alive); i++ {
		set := rediskey.Online(p.partition(id), id, alive[i])
		for {
			members, scan, err := p.cfg.Redis.SScan(ctx, set, at.scan, "", pageUsers).Result()
			if err != nil {
				return nil, "", fmt.Errorf("list who is online in channel %s: %w", id, err)
			}
			for _, text := range members {
				u, err := chat.ParseUserID(text)
				if _, dup := seen[u]; err == nil && !dup {
					seen[u] = struct{}{}
					users = append(users, u)
				}
			}
			at.scan = scan
			if scan == 0 {
				break
			}
			if len(users) >= pageUsers {
				return users, position{alive[i], scan}.String(), nil
			}
		}
		if len(users) >= pageUsers && i+1 < len(alive) {
			return users, position{alive[i+1], 0}.String(), nil
		}
	}
	return users, "", nil
}

// position is the progress of a listing: a gateway and the SSCAN cursor in its set.
type position struct {
	gateway string
	scan    uint64
}

// String encodes the position as a cursor.
func (p position) String() string { return p.gateway + "." + strconv.FormatUint(p.scan, 36) }

func parsePosition(cursor string) (position, error) {
	if cursor == "" {
		return position{}, nil
	}
	gateway, scan, ok := strings.Cut(cursor, ".")
	n, err := strconv.ParseUint(scan, 36, 64)
	if !ok || err != nil || len(gateway) > 16 {
		return position{}, ErrCursor
	}
	return position{gateway, n}, nil
}
