package authority

import (
	"context"
	"sync"
	"time"

	"parley.chat/internal/lifecycle"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/smallmap"
	"parley.chat/ws-server/internal/store"
)

// User is what is remembered of one user. It is safe for concurrent use.
type User struct {
	a        *Authority
	id       chat.UserID
	sessions smallmap.Map[chat.SessionID, int32] // connections of each; guarded by a.mu

	mu         sync.Mutex // held for map work only
	generation uint64     // raised by every notice
	channels   smallmap.Map[chat.ChannelID, entry]
	spare      int // entries that no connection holds
	blocks     blocks
}

// entry is what is remembered of a membership. Only memberships are remembered: that a user is no member of a
// channel is read each time.
type entry struct {
	store.Access
	known     bool  // the standing was read; false: a notice ended it, and connections still hold the channel
	roleKnown bool  // the role was not doubted since
	until     int64 // when it has to be read again, Unix nanoseconds; Run sees to entries that are held
	held      int32 // connections that are subscribed
}

// need is how much of an entry a question needs.
type need uint8

const (
	membership need = iota
	role
	announced
)

// good reports whether the entry answers a question.
func (e entry) good(n need, now time.Time) bool {
	return e.usable(n) && (e.held > 0 || now.UnixNano() < e.until)
}

// usable is good without regard to age: for when PostgreSQL does not answer.
func (e entry) usable(n need) bool {
	return e.known && (n != role || e.roleKnown) && (n != announced || e.Announced)
}

// Generation is handed to Learn, by a caller who reads standings, as it was before the read.
func (u *User) Generation() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.generation
}

// Learn notes a membership that was read by the caller. It notes nothing if a notice came since generation.
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
	e, there := u.channels.Get(id)
	if st.Role == "" {
		if there && e.held == 0 {
			u.spare--
			u.channels.Delete(id)
		} else if there {
			u.channels.Set(id, entry{held: e.held})
		}
		return
	}
	if !there {
		u.spare++
		u.makeRoomLocked()
	}
	u.channels.Set(id, entry{Access: st, known: true, roleKnown: true, until: time.Now().Add(u.a.cfg.Every).UnixNano(), held: e.held})
}

// makeRoomLocked drops a membership that nobody holds when there are too many.
func (u *User) makeRoomLocked() {
	if u.spare <= maxSpare {
		return
	}
	for id, e := range u.channels.All() {
		if e.held == 0 {
			u.channels.Delete(id)
			u.spare--
			return
		}
	}
}

// Hold notes that a connection is subscribed to a channel, so that the membership is verified. Each Hold
// needs a Release.
func (u *User) Hold(id chat.ChannelID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	e, there := u.channels.Get(id)
	if there && e.held == 0 {
		u.spare--
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
	e.held, e.until = 0, time.Now().Add(u.a.cfg.Every).UnixNano()
	u.channels.Set(id, e)
	u.spare++
	u.makeRoomLocked()
}

func (u *User) forget(id chat.ChannelID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.generation++
	switch e, there := u.channels.Get(id); {
	case there && e.held > 0:
		u.channels.Set(id, entry{held: e.held})
	case there:
		u.spare--
		u.channels.Delete(id)
	}
}

func (u *User) doubtRole(id chat.ChannelID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.generation++
	if e, there := u.channels.Get(id); there {
		e.roleKnown = false
		u.channels.Set(id, e)
	}
}

// Admit returns an error unless the user is a member of the channel.
func (u *User) Admit(id chat.ChannelID) error {
	_, err := u.standing(id, membership)
	return err
}

// Confirm is Admit of a channel that the user was admitted to a moment ago. It reads only if a notice has ended the
// membership since.
func (u *User) Confirm(id chat.ChannelID) error {
	u.mu.Lock()
	e, _ := u.channels.Get(id)
	u.mu.Unlock()
	if e.known {
		return nil
	}
	return u.Admit(id)
}

// Role returns the user's role in a channel that they are a member of.
func (u *User) Role(id chat.ChannelID) (chat.Role, error) {
	st, err := u.standing(id, role)
	return st.Role, err
}

// JoinedSeq returns the channel's last seq when the user came. The user must be a member of the channel.
func (u *User) JoinedSeq(id chat.ChannelID) (int64, error) {
	st, err := u.standing(id, membership)
	return st.JoinedSeq, err
}

// MayCallAll reports whether the user was allowed to call all members of the channel when that was last read:
// the answer while PostgreSQL does not give one.
func (u *User) MayCallAll(id chat.ChannelID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	e, _ := u.channels.Get(id)
	return e.usable(role) && e.CallsAll
}

// AdmitWriter is Admit of a user who is about to add an event. It waits until the channel's log has the
// user's member_joined event, which takes milliseconds after the user has come and no time later. If it takes
// longer than admitTimeout, the error is Unavailable.
func (u *User) AdmitWriter(id chat.ChannelID) error {
	_, err := u.writer(id)
	return err
}

// AdmitPoster is AdmitWriter of a user who is about to say something: in a direct channel it also returns an
// error if a block stands between its two users. While PostgreSQL does not answer, nobody can have blocked
// anybody, and what was last known holds.
func (u *User) AdmitPoster(id chat.ChannelID) error {
	st, err := u.writer(id)
	if err == nil && !st.Peer.IsZero() && u.blockedWith(st.Peer) {
		err = apierr.New(apierr.Forbidden, "you cannot send direct messages to this user")
	}
	return err
}

func (u *User) writer(id chat.ChannelID) (store.Access, error) {
	var began time.Time
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		st, err := u.standing(id, announced)
		if err != nil || st.Announced {
			return st, err
		}
		if began.IsZero() {
			began = time.Now()
		}
		if time.Since(began) > admitTimeout || !lifecycle.Sleep(u.a.ctx, wait) {
			return st, apierr.New(apierr.Unavailable, "your arrival in this channel has not been announced yet; retry with the same client_id")
		}
	}
}

// AdmitAll is Admit of several channels. What is not remembered is read in one query. The errors are in the
// order of ids.
func (u *User) AdmitAll(ctx context.Context, ids []chat.ChannelID) []error {
	errs := make([]error, len(ids))
	now := time.Now()
	var places []store.MemberKey
	var at []int
	away := u.a.away()
	u.mu.Lock()
	generation := u.generation
	for i, id := range ids {
		if e, there := u.channels.Get(id); !there || !e.good(membership, now) && !(e.usable(membership) && away) {
			places, at = append(places, store.MemberKey{Channel: id, User: u.id}), append(at, i)
		}
	}
	u.mu.Unlock()
	if len(places) == 0 {
		return errs
	}
	found, err := u.a.read(ctx, places)
	for n, i := range at {
		switch {
		case err != nil:
			_, errs[i] = u.orStale(ids[i], membership, err)
		default:
			if errs[i] = admitted(found[n]); !u.Learn(generation, ids[i], found[n]) {
				_, errs[i] = u.standing(ids[i], membership) // a notice came meanwhile
			}
		}
	}
	return errs
}

// standing returns the user's standing in a channel that they are a member of, good enough for a question.
func (u *User) standing(id chat.ChannelID, n need) (store.Access, error) {
	const tries = 3 // reads that a notice overtakes are made again
	for try := 1; ; try++ {
		u.mu.Lock()
		e, there := u.channels.Get(id)
		generation := u.generation
		u.mu.Unlock()
		now := time.Now()
		if there && (e.good(n, now) || e.usable(n) && u.a.away()) {
			return e.Access, nil
		}
		timeout := admitTimeout
		if there && e.usable(n) {
			timeout = staleTimeout
		}
		ctx, cancel := context.WithTimeout(u.a.ctx, timeout)
		found, err := u.a.read(ctx, []store.MemberKey{{Channel: id, User: u.id}})
		cancel()
		if err != nil {
			return u.orStale(id, n, err)
		}
		if u.Learn(generation, id, found[0]) {
			return found[0], admitted(found[0])
		}
		if try == tries {
			return store.Access{}, apierr.New(apierr.Unavailable, "your memberships are changing right now: retry")
		}
	}
}

// orStale returns what is remembered if that answers a question that PostgreSQL does not, else the error.
func (u *User) orStale(id chat.ChannelID, n need, err error) (store.Access, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if e, there := u.channels.Get(id); there && e.usable(n) {
		return e.Access, nil
	}
	return store.Access{}, apierr.Wrap(err, apierr.Unavailable, "the database does not answer right now")
}

// admitted returns an error unless a standing is that of a member.
func admitted(st store.Access) error {
	switch {
	case st.Role != "":
		return nil
	case st.Visible:
		return apierr.New(apierr.Forbidden, "not a member of this channel: join it first")
	}
	return apierr.New(apierr.NotFound, "no such channel")
}
