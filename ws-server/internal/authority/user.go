package authority

import (
	"context"
	"sync"
	"time"

	"parley.chat/internal/platform/lifecycle"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/smallmap"
	"parley.chat/ws-server/internal/store"
)

// User holds the cached data of one user. It is safe for concurrent use.
type User struct {
	a        *Authority
	id       chat.UserID
	sessions smallmap.Map[chat.SessionID, int32] // number of connections per session; guarded by a.mu

	mu         sync.Mutex // held only for map operations
	generation uint64     // incremented by every notice
	channels   smallmap.Map[chat.ChannelID, entry]
	unheld     int // number of entries that no connection holds
	blocks     blocks
}

// entry is a cached membership. Non-membership is not cached: each check of a non-member reads
// PostgreSQL.
type entry struct {
	store.Access
	known     bool  // Access is valid; false before the first read and after an invalidation
	roleKnown bool  // the role was not invalidated
	expires   int64 // expiry time in Unix nanoseconds; ignored while a connection holds the membership, because Run then verifies it
	held      int32 // number of subscribed connections
}

// need is what a check requires of a cached membership: that it is valid, that its role is also
// valid, or that the channel's log also contains its member_joined event.
type need uint8

const (
	membership need = iota
	role
	announced
)

// fresh reports whether the entry can answer the check and has not expired.
func (e entry) fresh(n need, now time.Time) bool {
	return e.usable(n) && (e.held > 0 || now.UnixNano() < e.expires)
}

// usable reports whether the entry can answer the check, even if it has expired. It is used while
// PostgreSQL is not responding.
func (e entry) usable(n need) bool {
	return e.known && (n != role || e.roleKnown) && (n != announced || e.Announced)
}

// Generation returns a counter that every notice about the user increments. A caller that reads
// memberships itself must call Generation before the read and pass the result to Learn.
func (u *User) Generation() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.generation
}

// Learn caches a membership that the caller has read. If a notice has arrived since the given
// generation, it caches nothing and returns false.
func (u *User) Learn(generation uint64, id chat.ChannelID, st store.Access) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.generation != generation {
		return false
	}
	u.learnLocked(id, st)
	return true
}

func (u *User) learnLocked(id chat.ChannelID, st store.Access) {
	e, cached := u.channels.Get(id)
	if st.Role == "" {
		if cached && e.held == 0 {
			u.unheld--
			u.channels.Delete(id)
		} else if cached {
			u.channels.Set(id, entry{held: e.held})
		}
		return
	}
	if !cached {
		u.unheld++
		u.makeRoomLocked()
	}
	u.channels.Set(id, entry{Access: st, known: true, roleKnown: true, expires: time.Now().Add(u.a.cfg.VerifyEvery).UnixNano(), held: e.held})
}

// makeRoomLocked evicts one of the memberships that no connection holds (see Hold) if more than
// maxUnheld of them are cached.
func (u *User) makeRoomLocked() {
	if u.unheld <= maxUnheld {
		return
	}
	for id, e := range u.channels.All() {
		if e.held == 0 {
			u.channels.Delete(id)
			u.unheld--
			return
		}
	}
}

// Hold records that a connection is subscribed to a channel, so that Run verifies the membership.
// Each Hold must be paired with a Release.
func (u *User) Hold(id chat.ChannelID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	e, cached := u.channels.Get(id)
	if cached && e.held == 0 {
		u.unheld--
	}
	e.held++
	u.channels.Set(id, e)
}

// Release undoes a Hold.
func (u *User) Release(id chat.ChannelID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	e, _ := u.channels.Get(id)
	if e.held--; e.held > 0 {
		u.channels.Set(id, e)
		return
	}
	if !e.known {
		u.channels.Delete(id)
		return
	}
	e.held, e.expires = 0, time.Now().Add(u.a.cfg.VerifyEvery).UnixNano()
	u.channels.Set(id, e)
	u.unheld++
	u.makeRoomLocked()
}

func (u *User) invalidate(id chat.ChannelID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.generation++
	switch e, cached := u.channels.Get(id); {
	case cached && e.held > 0:
		u.channels.Set(id, entry{held: e.held})
	case cached:
		u.unheld--
		u.channels.Delete(id)
	}
}

func (u *User) invalidateRole(id chat.ChannelID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.generation++
	if e, cached := u.channels.Get(id); cached {
		e.roleKnown = false
		u.channels.Set(id, e)
	}
}

// Admit returns an error unless the user is a member of the channel.
func (u *User) Admit(id chat.ChannelID) error {
	_, err := u.access(id, membership)
	return err
}

// Confirm is like Admit but assumes that the user has just been admitted to the channel. It reads
// PostgreSQL only if a notice has invalidated the membership since then.
func (u *User) Confirm(id chat.ChannelID) error {
	u.mu.Lock()
	e, _ := u.channels.Get(id)
	u.mu.Unlock()
	if e.known {
		return nil
	}
	return u.Admit(id)
}

// Role returns the user's role in a channel. It returns an error if the user is not a member.
func (u *User) Role(id chat.ChannelID) (chat.Role, error) {
	st, err := u.access(id, role)
	return st.Role, err
}

// JoinedSeq returns the channel's last seq at the time the user joined. It returns an error if the
// user is not a member.
func (u *User) JoinedSeq(id chat.ChannelID) (int64, error) {
	st, err := u.access(id, membership)
	return st.JoinedSeq, err
}

// MayCallAll reports whether the user was allowed to mention all members of the channel when their
// access was last read. It is used while PostgreSQL is not responding.
func (u *User) MayCallAll(id chat.ChannelID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	e, _ := u.channels.Get(id)
	return e.usable(role) && e.CallsAll
}

// AdmitWriter is Admit for a user who is about to append an event. It also waits until
// the channel's log contains the user's member_joined event, normally a few milliseconds after
// joining. If the event takes longer than admitTimeout, AdmitWriter returns an Unavailable error.
func (u *User) AdmitWriter(id chat.ChannelID) error {
	_, err := u.writer(id)
	return err
}

// AdmitPoster is AdmitWriter for a user who is about to post content. In a direct channel
// it also returns an error if one of the two users has blocked the other. While PostgreSQL is not
// responding, it uses the cached blocks, because nobody can add a block during that time.
func (u *User) AdmitPoster(id chat.ChannelID) error {
	st, err := u.writer(id)
	if err == nil && !st.Peer.IsZero() && u.blockedWith(st.Peer) {
		err = apierr.New(apierr.Forbidden, "You cannot send direct messages to this user.")
	}
	return err
}

func (u *User) writer(id chat.ChannelID) (store.Access, error) {
	var began time.Time
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		st, err := u.access(id, announced)
		if err != nil || st.Announced {
			return st, err
		}
		if began.IsZero() {
			began = time.Now()
		}
		if time.Since(began) > admitTimeout || !lifecycle.Sleep(u.a.ctx, wait) {
			return st, apierr.New(apierr.Unavailable, "Your membership in this channel has not been announced yet. Retry with the same client_id.")
		}
	}
}

// AdmitAll is like Admit but checks several channels. It reads all memberships that are not cached
// in one query. It returns one error per channel, in the order of ids.
func (u *User) AdmitAll(ctx context.Context, ids []chat.ChannelID) []error {
	errs := make([]error, len(ids))
	now := time.Now()
	var keys []chat.MemberKey
	var at []int
	storeDown := u.a.storeDown()
	u.mu.Lock()
	generation := u.generation
	for i, id := range ids {
		if e, cached := u.channels.Get(id); !cached || !e.fresh(membership, now) && !(e.usable(membership) && storeDown) {
			keys, at = append(keys, chat.MemberKey{Channel: id, User: u.id}), append(at, i)
		}
	}
	u.mu.Unlock()
	if len(keys) == 0 {
		return errs
	}
	found, err := u.a.read(ctx, keys)
	for n, i := range at {
		switch {
		case err != nil:
			_, errs[i] = u.orStale(ids[i], membership, err)
		default:
			if errs[i] = checkMember(found[n]); !u.Learn(generation, ids[i], found[n]) {
				_, errs[i] = u.access(ids[i], membership) // a notice arrived during the read
			}
		}
	}
	return errs
}

// access returns the user's access to a channel. It uses the cached entry if that entry is fresh.
// It returns an error if the user is not a member.
func (u *User) access(id chat.ChannelID, n need) (store.Access, error) {
	const maxReads = 3 // maximum number of reads if notices keep arriving
	for read := 1; ; read++ {
		u.mu.Lock()
		e, cached := u.channels.Get(id)
		generation := u.generation
		u.mu.Unlock()
		now := time.Now()
		if cached && (e.fresh(n, now) || e.usable(n) && u.a.storeDown()) {
			return e.Access, nil
		}
		timeout := admitTimeout
		if cached && e.usable(n) {
			timeout = staleTimeout
		}
		ctx, cancel := context.WithTimeout(u.a.ctx, timeout)
		found, err := u.a.read(ctx, []chat.MemberKey{{Channel: id, User: u.id}})
		cancel()
		if err != nil {
			return u.orStale(id, n, err)
		}
		if u.Learn(generation, id, found[0]) {
			return found[0], checkMember(found[0])
		}
		if read == maxReads {
			return store.Access{}, apierr.New(apierr.Unavailable, "Your membership is changing. Please try again.")
		}
	}
}

// orStale returns the cached access if it can answer the check; if not, it returns an error that
// wraps err. It is used after a failed read.
func (u *User) orStale(id chat.ChannelID, n need, err error) (store.Access, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if e, cached := u.channels.Get(id); cached && e.usable(n) {
		return e.Access, nil
	}
	return store.Access{}, apierr.Wrap(err, apierr.Unavailable, "The database is not available. Please try again.")
}

// checkMember returns an error if st describes the access of a non-member.
func checkMember(st store.Access) error {
	switch {
	case st.Role != "":
		return nil
	case st.Visible:
		return apierr.New(apierr.Forbidden, "You are not a member of this channel. Join it first.")
	}
	return apierr.New(apierr.NotFound, "This channel does not exist.")
}
