package authority

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"parley.chat/internal/lifecycle"
	"parley.chat/shared-contracts/chat"
)

// blocks are the users whom a user has blocked or who have blocked that user.
type blocks struct {
	with  map[chat.UserID]struct{}
	known bool // read at least once
	doubt bool // a notice came since
	gone  bool // the user's last connection has left: nothing is remembered any more
}

// readTries is how often blocks are read when notices keep overtaking the read.
const readTries = 3

// LoadBlocks reads the user's blocks unless they are known. It is called once per connection, before it is
// told anything of others.
func (u *User) LoadBlocks(ctx context.Context) error {
	u.mu.Lock()
	known := u.blocks.known && !u.blocks.doubt
	u.mu.Unlock()
	if known {
		return nil
	}
	return u.readBlocks(ctx)
}

// readBlocks reads the user's blocks, and calls Config.Blocked if they have changed.
func (u *User) readBlocks(ctx context.Context) error {
	for range readTries {
		generation := u.Generation()
		found, err := u.a.blocks.Ask(ctx, u.id)
		if err != nil {
			u.a.failed.Store(time.Now().UnixNano())
			return err
		}
		if u.learnBlocks(generation, found) {
			return nil
		}
	}
	u.a.readSoon(u)
	return nil
}

// learnBlocks notes blocks that were read, unless a notice came since generation.
func (u *User) learnBlocks(generation uint64, found []chat.UserID) bool {
	var with map[chat.UserID]struct{}
	if len(found) > 0 {
		with = make(map[chat.UserID]struct{}, len(found))
		for _, other := range found {
			with[other] = struct{}{}
		}
	}
	u.mu.Lock()
	if u.generation != generation || u.blocks.gone {
		gone := u.blocks.gone
		u.mu.Unlock()
		return gone
	}
	first, before := !u.blocks.known, u.blocks.with
	added, lifted := without(with, before), without(before, with)
	u.blocks = blocks{with: with, known: true}
	// Under mu, so that the index follows the blocks in their order.
	u.a.deaf.change(u.id, added, lifted)
	u.mu.Unlock()
	if !first && len(added)+len(lifted) > 0 && u.a.cfg.Blocked != nil {
		u.a.cfg.Blocked(u.id, added, lifted)
	}
	return true
}

// without returns what is in one set and not in the other.
func without(set, other map[chat.UserID]struct{}) (rest []chat.UserID) {
	for u := range set {
		if _, both := other[u]; !both {
			rest = append(rest, u)
		}
	}
	return rest
}

func (u *User) doubtBlocks() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.generation++
	u.blocks.doubt = true
}

// forgetBlocks forgets everything: the user has no connection here any more.
func (u *User) forgetBlocks() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.a.deaf.change(u.id, nil, without(u.blocks.with, nil))
	u.blocks = blocks{gone: true}
}

// blockedWith reports whether a block stands between the user and another.
func (u *User) blockedWith(other chat.UserID) bool {
	u.mu.Lock()
	ask := (!u.blocks.known || u.blocks.doubt) && !u.a.away()
	u.mu.Unlock()
	if ask {
		ctx, cancel := context.WithTimeout(u.a.ctx, staleTimeout)
		defer cancel()
		_ = u.readBlocks(ctx) // what was known before holds
	}
	return u.HasBlock(other)
}

// HasBlock reports whether a block stands between the user and another, as far as is known.
func (u *User) HasBlock(other chat.UserID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, found := u.blocks.with[other]
	return found
}

// HasBlocks reports whether a user who is connected here has a block with anybody.
func (a *Authority) HasBlocks(user chat.UserID) bool {
	u := a.user(user)
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.blocks.with) > 0
}

// AnyBlocks reports whether anybody who is connected here has a block.
func (a *Authority) AnyBlocks() bool { return a.deaf.pairs.Load() > 0 }

// readSoon has the goroutine of Run read a user's blocks.
func (a *Authority) readSoon(u *User) {
	a.dirty.mu.Lock()
	a.dirty.users[u] = struct{}{}
	a.dirty.mu.Unlock()
	select {
	case a.dirty.wake <- struct{}{}:
	default:
	}
}

// readDirty reads blocks after notices until ctx is done. What PostgreSQL does not answer is asked again
// after a second.
func (a *Authority) readDirty(ctx context.Context) {
	for {
		select {
		case <-a.dirty.wake:
		case <-ctx.Done():
			return
		}
		a.dirty.mu.Lock()
		users := a.dirty.users
		a.dirty.users = make(map[*User]struct{})
		a.dirty.mu.Unlock()
		if err := a.readBlocksOf(ctx, users); err != nil && ctx.Err() == nil {
			a.outages.Failed(ctx, "blocks", err, "users", len(users))
			if !lifecycle.Sleep(ctx, time.Second) {
				return
			}
			for u := range users {
				a.readSoon(u)
			}
		} else {
			a.outages.Worked(ctx, "blocks")
		}
	}
}

// readBlocksOf reads the blocks of some users in one query per usersAtOnce.
func (a *Authority) readBlocksOf(ctx context.Context, users map[*User]struct{}) error {
	batch := make([]*User, 0, min(len(users), usersAtOnce))
	read := func() error {
		if len(batch) == 0 {
			return nil
		}
		defer func() { batch = batch[:0] }()
		ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
		defer cancel()
		ids, generations := make([]chat.UserID, len(batch)), make([]uint64, len(batch))
		for i, u := range batch {
			ids[i], generations[i] = u.id, u.Generation()
		}
		found, err := a.blocks.AskAll(ctx, ids)
		if err != nil {
			a.failed.Store(time.Now().UnixNano())
			return err
		}
		for i, u := range batch {
			if !u.learnBlocks(generations[i], found[i]) {
				a.readSoon(u)
			}
		}
		return nil
	}
	for u := range users {
		if batch = append(batch, u); len(batch) == usersAtOnce {
			if err := read(); err != nil {
				return err
			}
		}
	}
	return read()
}

// BlockedWith returns the users connected here who must not learn what another user does: those with whom that user
// has a block. It is nil for nearly everybody. The set must not be changed.
func (a *Authority) BlockedWith(to chat.UserID) map[chat.UserID]struct{} { return a.deaf.to(to) }

// deafness indexes the blocks of the users who are connected here by the other user. A set is never changed,
// only replaced, so that a fan-out may use it without a lock.
type deafness struct {
	shards [deafShards]deafShard
	pairs  atomic.Int64 // users, by each with whom they have a block
}

const deafShards = 64

type deafShard struct {
	mu   sync.RWMutex // held for map work only
	sets map[chat.UserID]map[chat.UserID]struct{}
}

// shard returns the shard of a user, whose id is random in its last byte.
func (d *deafness) shard(u chat.UserID) *deafShard { return &d.shards[u.UUID[15]%deafShards] }

func (d *deafness) to(other chat.UserID) map[chat.UserID]struct{} {
	s := d.shard(other)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sets[other]
}

// change notes blocks of a user that were added, and that were lifted.
func (d *deafness) change(user chat.UserID, added, lifted []chat.UserID) {
	d.pairs.Add(int64(len(added) - len(lifted)))
	for _, other := range added {
		d.shard(other).replace(other, func(set map[chat.UserID]struct{}) { set[user] = struct{}{} })
	}
	for _, other := range lifted {
		d.shard(other).replace(other, func(set map[chat.UserID]struct{}) { delete(set, user) })
	}
}

func (s *deafShard) replace(other chat.UserID, edit func(map[chat.UserID]struct{})) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := make(map[chat.UserID]struct{}, len(s.sets[other])+1)
	for u := range s.sets[other] {
		set[u] = struct{}{}
	}
	if edit(set); len(set) == 0 {
		delete(s.sets, other)
		return
	}
	if s.sets == nil {
		s.sets = make(map[chat.UserID]map[chat.UserID]struct{}, 1)
	}
	s.sets[other] = set
}
