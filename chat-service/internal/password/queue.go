package password

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"parley.chat/shared-contracts/apierr"
)

// Source is where a password comes from.
type Source struct {
	// Networks are the blocks of addresses that it comes from, the narrowest first. None: not known.
	Networks []netip.Prefix
	// Known says that it comes from a session, or from a device that its user has logged in from before.
	Known bool
}

// queue lets a bounded number of callers work at the same time, and a bounded number wait.
//
// Waiting is fair between networks: each /48 or /24 that somebody waits from gets its turn, in it each /56, and
// in that each /64 or address. Known sources come first, except for every fourth turn. When the queue is full,
// a caller from a network with few waiting callers takes the place of one from the network with the most.
type queue struct {
	mu    sync.Mutex
	free  int // callers that may begin at once; nobody waits while it is above 0
	room  int // most callers that may wait
	turns int
	root  block
}

// unknownEvery is how often an unknown source comes first, so that known ones cannot keep it out.
const unknownEvery = 4

// block is the callers that wait from one block of addresses. Either within or waiting is used.
type block struct {
	size    [2]int                  // by class
	within  map[netip.Prefix]*block // the narrower blocks that somebody waits from
	order   []netip.Prefix          // their turns
	waiting []*waiter               // of the narrowest block
}

func (b *block) total() int { return b.size[0] + b.size[1] }

// The classes of callers.
const (
	unknown = 0
	known   = 1
)

func (s Source) class() int {
	if s.Known {
		return known
	}
	return unknown
}

// path returns the blocks of a source, the widest first.
func (s Source) path() []netip.Prefix {
	if len(s.Networks) == 0 {
		return []netip.Prefix{{}}
	}
	path := slices.Clone(s.Networks)
	slices.Reverse(path)
	return path
}

type waiter struct {
	path  []netip.Prefix
	class int
	turn  chan error // gets nil when it is the waiter's turn, or an error when it has lost its place
}

// enter waits for a turn. Its error is Overloaded when there is no place to wait, or that of ctx.
func (q *queue) enter(ctx context.Context, from Source) error {
	q.mu.Lock()
	if q.free > 0 {
		q.free--
		q.mu.Unlock()
		return nil
	}
	w := &waiter{path: from.path(), class: from.class(), turn: make(chan error, 1)}
	if q.root.total() >= q.room && !q.makeRoomLocked(w) {
		q.mu.Unlock()
		return errFull()
	}
	q.root.push(w, w.path)
	q.mu.Unlock()

	select {
	case err := <-w.turn:
		return err
	case <-ctx.Done():
	}
	q.mu.Lock()
	left := q.root.remove(w, w.path)
	q.mu.Unlock()
	if !left && <-w.turn == nil { // the turn came at the same time
		q.leave()
	}
	return fmt.Errorf("wait to hash a password: %w", ctx.Err())
}

// leave gives the turn of a caller to the next.
func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.root.total() == 0 {
		q.free++
		return
	}
	q.turns++
	class := known
	if q.root.size[known] == 0 || q.turns%unknownEvery == 0 && q.root.size[unknown] > 0 {
		class = unknown
	}
	q.root.next(class).turn <- nil
}

func errFull() error {
	return &apierr.Error{
		Code: apierr.Overloaded, Message: "too many logins at the moment",
		RetryAfter: 2 * time.Second, Err: errors.New("queue of password hashes is full"),
	}
}

// makeRoomLocked takes the place of another for w, if there is one that has less right to it.
func (q *queue) makeRoomLocked(w *waiter) bool {
	victim := q.root.heaviest(w.path)
	if victim == nil && w.class == known && q.root.size[unknown] > 0 {
		victim = q.root.last(unknown)
	}
	if victim == nil {
		return false
	}
	q.root.remove(victim, victim.path)
	victim.turn <- errFull()
	return true
}

func (b *block) push(w *waiter, path []netip.Prefix) {
	b.size[w.class]++
	if len(path) == 0 {
		b.waiting = append(b.waiting, w)
		return
	}
	inner := b.within[path[0]]
	if inner == nil {
		if b.within == nil {
			b.within = make(map[netip.Prefix]*block)
		}
		inner = &block{}
		b.within[path[0]] = inner
		b.order = append(b.order, path[0])
	}
	inner.push(w, path[1:])
}

// next takes out the waiter of a class whose turn it is. There is one.
func (b *block) next(class int) *waiter {
	if b.within == nil {
		i := slices.IndexFunc(b.waiting, func(w *waiter) bool { return w.class == class })
		w := b.waiting[i]
		b.waiting = slices.Delete(b.waiting, i, i+1)
		b.size[class]--
		return w
	}
	i := slices.IndexFunc(b.order, func(p netip.Prefix) bool { return b.within[p].size[class] > 0 })
	name := b.order[i]
	b.order = append(slices.Delete(b.order, i, i+1), name)
	w := b.within[name].next(class)
	b.size[class]--
	b.forgetEmpty(name)
	return w
}

// remove takes w out, and reports whether it was there.
func (b *block) remove(w *waiter, path []netip.Prefix) bool {
	if len(path) == 0 {
		i := slices.Index(b.waiting, w)
		if i < 0 {
			return false
		}
		b.waiting = slices.Delete(b.waiting, i, i+1)
		b.size[w.class]--
		return true
	}
	inner := b.within[path[0]]
	if inner == nil || !inner.remove(w, path[1:]) {
		return false
	}
	b.size[w.class]--
	b.forgetEmpty(path[0])
	return true
}

func (b *block) forgetEmpty(name netip.Prefix) {
	if b.within[name].total() == 0 {
		delete(b.within, name)
		b.order = slices.DeleteFunc(b.order, func(p netip.Prefix) bool { return p == name })
	}
}

// heaviest returns the last waiter of the block with the most waiters, if a newcomer on path belongs to one that
// would still have fewer with the newcomer in it.
func (b *block) heaviest(path []netip.Prefix) *waiter {
	if len(path) == 0 || b.within == nil {
		return nil
	}
	heavy, most := path[0], 0
	for _, name := range b.order {
		if n := b.within[name].total(); n > most || n == most && name == path[0] {
			heavy, most = name, n
		}
	}
	if heavy == path[0] {
		return b.within[heavy].heaviest(path[1:])
	}
	if own := b.within[path[0]]; own != nil && own.total()+1 >= most || most < 2 {
		return nil
	}
	return b.within[heavy].worst()
}

// worst returns the last waiter of the fullest blocks, an unknown one if there is one.
func (b *block) worst() *waiter {
	if b.size[unknown] > 0 {
		return b.last(unknown)
	}
	return b.last(known)
}

// last returns the last waiter of a class, from the block that has the most of them. There is one.
func (b *block) last(class int) *waiter {
	for b.within != nil {
		name := slices.MaxFunc(b.order, func(x, y netip.Prefix) int { return b.within[x].size[class] - b.within[y].size[class] })
		b = b.within[name]
	}
	for _, w := range slices.Backward(b.waiting) {
		if w.class == class {
			return w
		}
	}
	return nil
}
