package hub

import (
	"time"

	"parley.chat/shared-contracts/chat"
)

// ephemeralFrame holds an ephemeral frame and the users who must not receive it.
type ephemeralFrame struct {
	frame   []byte
	except  chat.UserID
	blocked map[chat.UserID]struct{}
}

// excludes reports whether the frame must not be sent to the user.
func (p *ephemeralFrame) excludes(user chat.UserID) bool {
	if len(p.blocked) > 0 {
		if _, blocked := p.blocked[user]; blocked {
			return true
		}
	}
	return p.except == user
}

// ephemeralQueue holds a channel's ephemeral frames. Sending an ephemeral frame by itself costs as
// much per subscription as sending an event, and there are more ephemeral frames than events. So a
// channel with many subscriptions sends them together: with the next event, or when the minimum
// time between two sends has passed. If nothing was sent recently, it sends them immediately.
type ephemeralQueue struct {
	waiting  []ephemeralFrame
	bytes    int           // total size of waiting, in bytes
	pace     time.Duration // minimum time between two sends of queued frames; 0 in a small channel
	lastSent time.Time     // when the last round was sent
	timer    *time.Timer   // fires when the queued frames are due; nil if no send is scheduled
}

const (
	// maxEphemeral limits the number of ephemeral frames waiting for the fan-out, and batchBytes
	// limits their total size. Frames over a limit are dropped.
	maxEphemeral = 64
	// pacedFrom is the smallest number of subscriptions at which a channel limits how often it
	// sends ephemeral frames.
	pacedFrom = 256
	// pacePerSubscription, multiplied by the number of subscriptions, is the minimum time between
	// two sends of queued frames. A send costs about 8 µs per subscription, so ephemeral frames use
	// at most 4% of a core per channel.
	pacePerSubscription = 200 * time.Microsecond
	maxPace             = time.Second
)

func paceFor(subscriptions int) time.Duration {
	if subscriptions < pacedFrom {
		return 0
	}
	return min(time.Duration(subscriptions)*pacePerSubscription, maxPace)
}

// due reports whether the queued frames may be sent without waiting for an event.
func (o *ephemeralQueue) due(now time.Time) bool {
	return len(o.waiting) > 0 && (o.pace == 0 || now.Sub(o.lastSent) >= o.pace)
}

// pop removes and returns all queued frames.
func (o *ephemeralQueue) pop(now time.Time) []ephemeralFrame {
	round := o.waiting
	o.waiting, o.bytes, o.lastSent = nil, 0, now
	return round
}

// PublishEphemeral queues an ephemeral frame for every live subscription, except the subscriptions
// of one user and of the users in blocked. blocked must not change afterward. PublishEphemeral
// does not wait for the delivery. Without pacing, the frame is sent immediately.
func (ch *Channel) PublishEphemeral(frame []byte, except chat.UserID, blocked map[chat.UserID]struct{}) {
	ch.mu.Lock()
	if o := &ch.ephemeral; len(o.waiting) < maxEphemeral && (o.bytes == 0 || o.bytes+len(frame) <= batchBytes) {
		o.waiting = append(o.waiting, ephemeralFrame{frame, except, blocked})
		o.bytes += len(frame)
	}
	start := ch.startFanoutLocked()
	if !start {
		ch.scheduleRoundLocked()
	}
	ch.mu.Unlock()
	if start {
		ch.hub.fanouts.Go(ch.fanout)
	}
}

// scheduleRoundLocked starts a timer for the queued frames if no fan-out is running; a running
// fan-out schedules them itself.
func (ch *Channel) scheduleRoundLocked() {
	o := &ch.ephemeral
	if o.timer != nil || ch.fanning || !ch.begun || len(o.waiting) == 0 {
		return
	}
	ch.hub.fanouts.Add(1)
	o.timer = time.AfterFunc(time.Until(o.lastSent.Add(o.pace)), func() {
		defer ch.hub.fanouts.Done()
		ch.mu.Lock()
		o.timer = nil
		start := ch.startFanoutLocked()
		if !start {
			ch.scheduleRoundLocked()
		}
		ch.mu.Unlock()
		if start {
			ch.fanout()
		}
	})
}

// stopEphemeral stops the timer that sends queued ephemeral frames. After that, the frames are sent
// only with the next event.
func (ch *Channel) stopEphemeral() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if o := &ch.ephemeral; o.timer != nil && o.timer.Stop() {
		o.timer = nil
		ch.hub.fanouts.Done()
	}
}
