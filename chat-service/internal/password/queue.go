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

// Source describes where a password comes from.
type Source struct {
	// Networks holds the address blocks of the client, narrowest first. It is empty if the client's
	// address is unknown.
	Networks []netip.Prefix
	// Known is true if the password comes from a session, or from a device that the user has logged
	// in from before.
	Known bool
}

// queue limits the number of callers that compute a hash at the same time, and the number of
// waiting callers.
//
// Waiting is fair between networks. The turns rotate between the /48 and /24 networks of the
// waiting callers. Within a /48 network they rotate between /56 networks, and within a /56 network
// between /64 networks. Within a /24 network they rotate between addresses. Known sources take
// precedence, except on every fourth turn. If the queue is full, a caller from a network with few
// waiting callers replaces a caller from the network that has the most waiting callers.
type queue struct {
	mu    sync.Mutex
	free  int // number of callers that may start immediately; 0 while callers are waiting
	room  int // maximum number of waiting callers
	turns int
	root  block
}

// unknownEvery makes unknown sources take precedence on every fourth turn, so that known sources
// cannot starve them.
const unknownEvery = 4

// block holds the callers that are waiting in one block of addresses. Only one of within and
// waiting is set.
type block struct {
	size    [2]int                  // number of waiting callers, by class
	within  map[netip.Prefix]*block // the narrower blocks with waiting callers
	order   []netip.Prefix          // the keys of within; the block whose turn is next comes first
	waiting []*waiter               // waiting callers in order of arrival; nil if within is set
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

// path returns the address blocks of a source, widest first.
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
	turn  chan error // receives nil when it is the waiter's turn, or an error when the waiter is replaced
}

// enter waits until the caller may compute a hash. It returns an Overloaded error if the queue is
// full, and ctx's error if ctx is canceled.
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
	if !left && <-w.turn == nil { // the caller's turn came before the caller could be removed from the queue
		q.leave()
	}
	return fmt.Errorf("wait to hash a password: %w", ctx.Err())
}

// leave is called when a caller has computed its hash. It lets the next waiting caller start.
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
		Code: apierr.Overloaded, Message: "Too many logins at the moment. Please try again.",
		RetryAfter: 2 * time.Second, Err: errors.New("password hash queue is full"),
	}
}

// makeRoomLocked removes a waiter that has a lower priority than w. It returns false if there is
// none.
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

// next removes and returns the next waiter of a class (known or unknown sources). There must be a
// waiter of that class.
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

// remove removes w and reports whether it was waiting.
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

// heaviest returns the waiter that a new caller replaces, or nil if the new caller must be refused.
// The waiter comes from the block with the most waiters, provided that the new caller's block would
// have fewer waiters even with the new caller. If the new caller's block already has the most
// waiters, heaviest compares the narrower blocks in it. path contains the new caller's blocks.
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

// worst returns the waiter to replace in a block: an unknown source if one is waiting, otherwise a
// known source; see last.
func (b *block) worst() *waiter {
	if b.size[unknown] > 0 {
		return b.last(unknown)
	}
	return b.last(known)
}

// last descends, at each level, into the block with the most waiters of a class (known or unknown
// sources). It returns the newest waiter of that class in the innermost block. There must be a
// waiter of that class.
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
