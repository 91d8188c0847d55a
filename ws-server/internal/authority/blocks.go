package authority

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"parley.chat/internal/platform/lifecycle"
	"parley.chat/shared-contracts/chat"
)

// blocks caches the users whom one user has blocked and the users who have blocked that user.
type blocks struct {
	with   map[chat.UserID]struct{}
	known  bool // the blocks were read at least once
	stale  bool // a notice arrived since the last read
	closed bool // the user's last connection has ended, so nothing is cached
}

// maxBlockReads is the maximum number of consecutive reads of a user's blocks while notices keep
// arriving.
const maxBlockReads = 3

// LoadBlocks reads the user's blocks unless they are cached. A connection calls it once, before it
// receives anything about other users.
func (u *User) LoadBlocks(ctx context.Context) error {
	u.mu.Lock()
	known := u.blocks.known && !u.blocks.stale
	u.mu.Unlock()
	if known {
		return nil
	}
	return u.readBlocks(ctx)
}

// readBlocks reads the user's blocks and calls Config.Blocked if they have changed.
func (u *User) readBlocks(ctx context.Context) error {
	for range maxBlockReads {
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
	u.a.scheduleRead(u)
	return nil
}

// learnBlocks caches the blocks that a read has returned. If a notice has arrived since the given
// generation, it caches nothing and returns false. If the user's last connection has ended, it
// caches nothing and returns true.
func (u *User) learnBlocks(generation uint64, found []chat.UserID) bool {
	var with map[chat.UserID]struct{}
	if len(found) > 0 {
		with = make(map[chat.UserID]struct{}, len(found))
		for _, other := range found {
			with[other] = struct{}{}
		}
	}
	u.mu.Lock()
	if u.generation != generation || u.blocks.closed {
		closed := u.blocks.closed
		u.mu.Unlock()
		return closed
	}
	first, before := !u.blocks.known, u.blocks.with
	added, lifted := without(with, before), without(before, with)
	u.blocks = blocks{with: with, known: true}
	// The index must receive the changes to the user's blocks in order, so update it while u.mu is
	// held.
	u.a.blockIndex.update(u.id, added, lifted)
	u.mu.Unlock()
	if !first && len(added)+len(lifted) > 0 && u.a.cfg.Blocked != nil {
		u.a.cfg.Blocked(u.id, added, lifted)
	}
	return true
}

// without returns the users who are in set but not in other.
func without(set, other map[chat.UserID]struct{}) (rest []chat.UserID) {
	for u := range set {
		if _, both := other[u]; !both {
			rest = append(rest, u)
		}
	}
	return rest
}

func (u *User) invalidateBlocks() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.generation++
	u.blocks.stale = true
}

// clearBlocks removes the user's blocks from the cache. It is called when the user's last
// connection has ended.
func (u *User) clearBlocks() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.a.blockIndex.update(u.id, nil, without(u.blocks.with, nil))
	u.blocks = blocks{closed: true}
}

// blockedWith reports whether the user has blocked other or is blocked by other. It first reads the
// user's blocks if the cache may be out of date.
func (u *User) blockedWith(other chat.UserID) bool {
	u.mu.Lock()
	ask := (!u.blocks.known || u.blocks.stale) && !u.a.storeDown()
	u.mu.Unlock()
	if ask {
		ctx, cancel := context.WithTimeout(u.a.ctx, staleTimeout)
		defer cancel()
		_ = u.readBlocks(ctx) // if the read fails, the cached blocks are used
	}
	return u.HasBlock(other)
}

// HasBlock reports whether the cache contains a block between the user and other.
func (u *User) HasBlock(other chat.UserID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, found := u.blocks.with[other]
	return found
}

// HasBlocks reports whether the user is connected to this gateway, and has blocked somebody or is
// blocked by somebody.
func (a *Authority) HasBlocks(user chat.UserID) bool {
	u := a.user(user)
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.blocks.with) > 0
}

// AnyBlocks reports whether any user connected to this gateway has blocked somebody or is blocked
// by somebody.
func (a *Authority) AnyBlocks() bool { return a.blockIndex.pairs.Load() > 0 }

// scheduleRead queues the user for Run, which then reads the user's blocks.
func (a *Authority) scheduleRead(u *User) {
	a.dirty.mu.Lock()
	a.dirty.users[u] = struct{}{}
	a.dirty.mu.Unlock()
	select {
	case a.dirty.wake <- struct{}{}:
	default:
	}
}

// readDirty reads the blocks of the users that scheduleRead has queued. It runs until ctx is done.
// After a failed read, it waits for one second and retries.
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
				a.scheduleRead(u)
			}
		} else {
			a.outages.Worked(ctx, "blocks")
		}
	}
}

// readBlocksOf reads the blocks of users, with up to blocksBatch users per query.
func (a *Authority) readBlocksOf(ctx context.Context, users map[*User]struct{}) error {
	batch := make([]*User, 0, min(len(users), blocksBatch))
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
				a.scheduleRead(u)
			}
		}
		return nil
	}
	for u := range users {
		if batch = append(batch, u); len(batch) == blocksBatch {
			if err := read(); err != nil {
				return err
			}
		}
	}
	return read()
}

// BlockedWith returns the users connected to this gateway who have blocked the given user or are
// blocked by that user. They must not see that user's activity. The result is nil for most users.
// The caller must not change the map.
func (a *Authority) BlockedWith(user chat.UserID) map[chat.UserID]struct{} {
	return a.blockIndex.with(user)
}

// blocksByOther indexes the blocks of connected users by the other user in each block. The sets are
// copy-on-write, so a fan-out may use one without a lock.
type blocksByOther struct {
	shards [indexShards]indexShard
	pairs  atomic.Int64 // number of (connected user, other user) pairs
}

const indexShards = 64

type indexShard struct {
	mu   sync.RWMutex // held only for map operations
	sets map[chat.UserID]map[chat.UserID]struct{}
}

// shard returns the shard of a user, chosen by the last byte of the id, which is random.
func (d *blocksByOther) shard(u chat.UserID) *indexShard { return &d.shards[u.UUID[15]%indexShards] }

func (d *blocksByOther) with(other chat.UserID) map[chat.UserID]struct{} {
	s := d.shard(other)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sets[other]
}

// update adds a user's new blocks to the index and removes the lifted blocks from it.
func (d *blocksByOther) update(user chat.UserID, added, lifted []chat.UserID) {
	d.pairs.Add(int64(len(added) - len(lifted)))
	for _, other := range added {
		d.shard(other).replace(other, func(set map[chat.UserID]struct{}) { set[user] = struct{}{} })
	}
	for _, other := range lifted {
		d.shard(other).replace(other, func(set map[chat.UserID]struct{}) { delete(set, user) })
	}
}

func (s *indexShard) replace(other chat.UserID, edit func(map[chat.UserID]struct{})) {
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
