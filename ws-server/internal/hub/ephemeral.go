package hub

import (
	"time"

	"parley.chat/shared-contracts/chat"
)

// passing is an ephemeral frame on its way to the live subscriptions, except those of some users.
type passing struct {
	frame []byte
	but   chat.UserID
	deaf  map[chat.UserID]struct{}
}

// skips reports whether the frame is not for a user.
func (p *passing) skips(user chat.UserID) bool {
	if len(p.deaf) > 0 {
		if _, deaf := p.deaf[user]; deaf {
			return true
		}
	}
	return p.but == user
}

// offers are the ephemeral frames of a channel. To each subscription a frame of its own costs as much as an
// event, and they are more. So in a crowd they leave together: with the next event, or when the pace of the
// channel allows it, which is at once where nothing has left for a while.
type offers struct {
	waiting []passing
	bytes   int           // of waiting
	pace    time.Duration // least time from round to round; 0 where there is no crowd
	left    time.Time     // when the last round did
	timer   *time.Timer   // runs: the next round is due at its end
}

const (
	// maxPassing and batchBytes bound the ephemeral frames that wait for the fan-out; more are shed.
	maxPassing = 64
	// crowd is from how many subscriptions on ephemeral frames are paced.
	crowd = 256
	// eachPaced times the subscriptions is the pace: a round costs each some 8 µs, so that ephemeral frames take
	// 4% of a core for a channel at most.
	eachPaced = 200 * time.Microsecond
	maxPace   = time.Second
)

func paceFor(subscriptions int) time.Duration {
	if subscriptions < crowd {
		return 0
	}
	return min(time.Duration(subscriptions)*eachPaced, maxPace)
}

// due reports whether a round may leave by itself.
func (o *offers) due(now time.Time) bool {
	return len(o.waiting) > 0 && (o.pace == 0 || now.Sub(o.left) >= o.pace)
}

// take returns the frames of a round.
func (o *offers) take(now time.Time) []passing {
	round := o.waiting
	o.waiting, o.bytes, o.left = nil, 0, now
	return round
}

// PublishEphemeral hands an ephemeral frame to every live subscription, except those of one user and those of the users in
// deaf, which must not change any more. It does not wait for them, and neither do they where there is no crowd.
func (ch *Channel) PublishEphemeral(frame []byte, but chat.UserID, deaf map[chat.UserID]struct{}) {
	ch.mu.Lock()
	if o := &ch.offers; len(o.waiting) < maxPassing && (o.bytes == 0 || o.bytes+len(frame) <= batchBytes) {
		o.waiting = append(o.waiting, passing{frame, but, deaf})
		o.bytes += len(frame)
	}
	start := ch.startFanoutLocked()
	if !start {
		ch.awaitRoundLocked()
	}
	ch.mu.Unlock()
	if start {
		ch.hub.fanouts.Go(ch.fanout)
	}
}

// awaitRoundLocked sees to it that what waits leaves in its time. A fan-out that is under way does so itself.
func (ch *Channel) awaitRoundLocked() {
	o := &ch.offers
	if o.timer != nil || ch.fanning || !ch.begun || len(o.waiting) == 0 {
		return
	}
	ch.hub.fanouts.Add(1)
	o.timer = time.AfterFunc(time.Until(o.left.Add(o.pace)), func() {
		defer ch.hub.fanouts.Done()
		ch.mu.Lock()
		o.timer = nil
		start := ch.startFanoutLocked()
		if !start {
			ch.awaitRoundLocked()
		}
		ch.mu.Unlock()
		if start {
			ch.fanout()
		}
	})
}

// stopOffers lets nothing leave by itself any more.
func (ch *Channel) stopOffers() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if o := &ch.offers; o.timer != nil && o.timer.Stop() {
		o.timer = nil
		ch.hub.fanouts.Done()
	}
}
