package eventlog

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

const (
	perEvent   = 10  // arguments of append.lua per event
	maxPerCall = 256 // events of one script call: bounds how long a call holds Redis up
	maxBatch   = 2048

	// maxFlights is how many batches may be on their way, so that Redis works on one while we deal with the
	// replies to another. More would make them smaller for nothing.
	maxFlights = 4
)

// pending is an event on its way to the log.
type pending struct {
	channel  chat.ChannelID
	id       chat.EventID
	sentAt   chat.Time
	words    []byte // its two keys and its arguments, as RESP
	keys     int    // length of the keys
	deadline time.Time
	done     func(Ack, error)
	trip     *Trip // nil: nobody asks

	over bool // done was called, or is about to be; guarded by the lane's mu
	ack  Ack
	err  error
}

// flight is a batch on its way: a call per channel.
type flight struct {
	calls   [][]*pending
	replies int  // so far
	loads   bool // the reply to loading the script comes before
	sentAt  time.Time
}

// trip tells of a flight who wants to know.
func (f *flight) trip() Trip {
	t := Trip{SentAt: f.sentAt, Channels: len(f.calls)}
	for _, call := range f.calls {
		t.Events += len(call)
	}
	return t
}

// lane sends the appends of some partitions. A channel is in one batch at a time. That alone keeps its
// order: nothing of it is sent before what was sent earlier is settled.
//
// It has no goroutine. A batch leaves from whoever finds the way free: the submitter when it is idle, the
// link when the last reply of a batch has come.
type lane struct {
	a    *Appender
	link *link

	mu       sync.Mutex
	settled  []*pending // their outcomes are known, and told when the link has handed on all of a read
	spare    []*pending // an empty slice for the next
	telling  int        // events whose outcome is being told
	turn     uint64     // of the connection; 0 while there is none
	queue    []*pending
	flights  []*flight                   // the oldest first
	flying   map[chat.ChannelID]struct{} // channels that are in one
	attempt  int                         // how often in a row something had to be sent again later
	held     bool                        // a timer runs, after which it is
	reload   bool                        // the script must be loaded first
	closed   bool
	empty    chan struct{}                 // closed when closed and nothing is left
	parked   map[chat.ChannelID][]*pending // channels that take no appends right now: what waits, in order
	settling sync.WaitGroup                // what makes them take appends again
}

func newLane(a *Appender, k *link) *lane {
	l := &lane{a: a, link: k, empty: make(chan struct{}), flying: make(map[chat.ChannelID]struct{}), parked: make(map[chat.ChannelID][]*pending)}
	k.lane = l
	return l
}

func (l *lane) submit(p *pending) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return apierr.New(apierr.Unavailable, "shutting down")
	}
	if waiting, ok := l.parked[p.channel]; ok {
		l.parked[p.channel] = append(waiting, p)
		l.mu.Unlock()
		return nil
	}
	l.queue = append(l.queue, p)
	turn := l.readyLocked()
	l.mu.Unlock()
	l.send(turn)
	return nil
}

// readyLocked returns the turn of the connection to send on, 0 when there is nothing to send or something
// is in its way.
func (l *lane) readyLocked() uint64 {
	if l.held || len(l.flights) == maxFlights || len(l.queue) == 0 {
		return 0
	}
	return l.turn
}

// take takes the next batch for the connection of that turn, nil when there is none. Called while it alone
// may write to the connection: replies come in the order of what was written, so flights must be in it.
func (l *lane) take(turn uint64) *flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	if turn == 0 || l.readyLocked() != turn {
		return nil
	}
	calls, rest := l.splitLocked()
	l.queue = rest
	if len(calls) == 0 {
		return nil
	}
	for _, call := range calls {
		l.flying[call[0].channel] = struct{}{}
	}
	f := &flight{calls: calls, loads: l.reload, sentAt: time.Now()}
	l.flights = append(l.flights, f)
	l.reload = false
	return f
}

// splitLocked returns the queue as calls, one per channel, and what stays: what is of a channel that is in
// flight, or more than a call or a batch takes. What nobody waits for any more is dropped.
func (l *lane) splitLocked() (calls [][]*pending, rest []*pending) {
	callOf := make(map[chat.ChannelID]int, min(len(l.queue), maxBatch))
	taken := 0
	for n, p := range l.queue {
		if taken == maxBatch {
			return calls, append(rest, l.queue[n:]...)
		}
		if p.over {
			continue
		}
		i, known := callOf[p.channel]
		if !known {
			if _, flies := l.flying[p.channel]; flies {
				i = -1
			} else {
				i = len(calls)
				calls = append(calls, nil)
			}
			callOf[p.channel] = i
		}
		if i < 0 || len(calls[i]) == maxPerCall {
			rest = append(rest, p)
			continue
		}
		calls[i] = append(calls[i], p)
		taken++
	}
	return calls, rest
}

// send writes the next batch, if there is one for the connection of that turn. If the connection is lost
// meanwhile, down puts it back.
func (l *lane) send(turn uint64) {
	if turn == 0 {
		return
	}
	l.link.write(turn, ofLane, func(to []byte) (_ []byte, replies int) {
		f := l.take(turn)
		if f == nil {
			return to, 0
		}
		if f.loads {
			to = appendCommand(to, "SCRIPT", "LOAD", appendSource)
			replies++
		}
		for _, call := range f.calls {
			to = l.appendCall(to, call)
		}
		return to, replies + len(f.calls)
	})
}

// appendCall appends the call of append.lua for the events of one channel.
func (l *lane) appendCall(b []byte, call []*pending) []byte {
	channel := call[0].channel
	p := l.a.log.Partition(channel.UUID)
	var known Head
	if l.a.cfg.Known != nil {
		known = l.a.cfg.Known(channel)
	}
	keys := 4 + 2*len(call)
	b = appendArray(b, 3+keys+4+perEvent*len(call))
	b = appendBulk(b, "EVALSHA")
	b = appendBulk(b, appendHash)
	b = appendBulkInt(b, int64(keys))
	b = appendBulk(b, rediskey.Counter(p, channel))
	b = appendBulk(b, rediskey.Stream(p))
	b = appendBulk(b, rediskey.Tail(p, channel))
	b = appendBulk(b, rediskey.Topic(p, channel))
	for _, e := range call {
		b = append(b, e.words[:e.keys]...)
	}
	b = appendBulkInt(b, event.Version)
	b = appendBulk(b, channel.String())
	b = appendBulk(b, string(known.Epoch))
	b = appendBulkInt(b, known.Seq)
	for _, e := range call {
		b = append(b, e.words[e.keys:]...)
	}
	return b
}

// up says that there is a connection.
func (l *lane) up(turn uint64) {
	l.mu.Lock()
	l.turn = turn
	turn = l.readyLocked()
	l.mu.Unlock()
	l.send(turn)
}

// down says that the connection is gone: what it has not answered must be sent again.
func (l *lane) down() {
	l.settle()
	l.a.Flushed()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn, l.reload = 0, false
	var again []*pending
	for _, f := range l.flights {
		for _, call := range f.calls[f.replies:] {
			again = append(again, call...)
		}
	}
	l.queue = append(again, l.queue...)
	l.flights = nil
	clear(l.flying)
}

// replied takes the reply to the next call. An error ends the connection.
func (l *lane) replied(v value) error {
	l.mu.Lock()
	if len(l.flights) == 0 {
		l.mu.Unlock()
		return errors.New("more replies than calls")
	}
	f := l.flights[0]
	if f.loads {
		f.loads, l.reload = false, l.reload || v.kind == kindError // then the calls find no script
		l.mu.Unlock()
		return nil
	}
	call := f.calls[f.replies]
	f.replies++
	delete(l.flying, call[0].channel)
	var lost error
	if v.kind == kindError {
		lost = l.refusedLocked(call, replyError(v.fields[0]))
	} else {
		l.answeredLocked(f, call, v.fields)
	}
	var turn uint64
	if f.replies == len(f.calls) {
		l.flights = append(l.flights[:0], l.flights[1:]...)
		turn = l.readyLocked()
	}
	l.mu.Unlock()
	l.send(turn)
	return lost
}

// answeredLocked notes the outcome of each event of a call.
func (l *lane) answeredLocked(f *flight, call []*pending, results [][]byte) {
	l.attempt = 0
	var err error
	if len(results) != len(call)+1 {
		err = apierr.New(apierr.Internal, "the append answered %d results for %d events", len(results), len(call))
	}
	var epoch event.Epoch
	if err == nil {
		epoch = event.Epoch(results[0])
	}
	for i, p := range call {
		if p.over {
			continue
		}
		if p.err = err; err == nil {
			p.ack, p.err = outcomeOf(p, epoch, results[i+1])
		}
		if p.trip != nil && p.err == nil {
			*p.trip = f.trip()
		}
		p.over = true
		l.settled = append(l.settled, p)
	}
}

// refusedLocked deals with a call that Redis has refused as a whole: nothing of it was appended. Its error
// says that another connection is needed.
func (l *lane) refusedLocked(call []*pending, err replyError) (lost error) {
	switch word := err.word(); {
	case word == "UNSEEDED":
		l.parkLocked(call, func(ctx context.Context, channel chat.ChannelID) error {
			_, err := l.a.log.seed(ctx, channel, l.a.floor)
			return err
		})
	case word == "EPOCH", word == "STALE":
		l.parkLocked(call, func(ctx context.Context, channel chat.ChannelID) error {
			return l.a.cfg.Diverged(ctx, channel, refusedAt(err))
		})
	case word == "NOSCRIPT":
		l.againLocked(call)
		l.reload = true
	case elsewhere[word]:
		l.againLocked(call)
		return err
	case later[word]:
		l.againLocked(call)
		l.holdLocked(err)
	default:
		l.a.cfg.Logger.Error("append refused by Redis", "channel_id", call[0].channel, "err", err)
		for _, p := range call {
			if !p.over {
				p.over, p.err = true, apierr.Wrap(err, apierr.Internal, "the event log refused the append")
				l.settled = append(l.settled, p)
			}
		}
	}
	return nil
}

// againLocked puts a call back in front of what its channel has submitted since.
func (l *lane) againLocked(call []*pending) { l.queue = append(slices.Clone(call), l.queue...) }

// holdLocked sends nothing for a while.
func (l *lane) holdLocked(err error) {
	if l.held {
		return
	}
	l.held = true
	l.a.cfg.Logger.Warn("append refused for now, sending again", "err", err)
	time.AfterFunc(backoff(l.attempt), func() {
		l.mu.Lock()
		l.held = false
		turn := l.readyLocked()
		l.mu.Unlock()
		l.send(turn)
	})
	l.attempt++
}

// settle tells what was settled its outcome. Called by the link alone.
func (l *lane) settle() {
	l.mu.Lock()
	batch := l.settled
	l.settled, l.spare = l.spare, nil
	l.telling += len(batch)
	l.mu.Unlock()
	for _, p := range batch {
		p.done(p.ack, p.err)
	}
	clear(batch)
	l.mu.Lock()
	if cap(batch) <= maxBatch {
		l.spare = batch[:0]
	}
	l.telling -= len(batch)
	l.leftLocked()
	l.mu.Unlock()
}

// leftLocked sees whether the end has come that close has asked for.
func (l *lane) leftLocked() {
	if l.closed && len(l.queue)+len(l.flights)+len(l.parked)+len(l.settled)+l.telling == 0 {
		select {
		case <-l.empty:
		default:
			close(l.empty)
		}
	}
}

// close takes nothing any more, and waits until nothing is left of what was submitted.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.leftLocked()
	l.mu.Unlock()
	<-l.empty
	l.settling.Wait()
}

// backoff is 5 ms doubling to 200 ms, with jitter: a dead Redis is not hammered, and one that has
// failed over is found soon.
func backoff(attempt int) time.Duration {
	d := min(5*time.Millisecond<<min(attempt, 6), 200*time.Millisecond)
	return d/2 + rand.N(d/2+1)
}

// expire fails what has waited too long. Whether it was appended is unknown. A batch without a reply for
// that long ends its connection.
func (l *lane) expire(now time.Time) {
	l.mu.Lock()
	var late []*pending
	expired := func(p *pending) bool {
		if !p.over && now.After(p.deadline) {
			p.over = true
			late = append(late, p)
		}
		return p.over
	}
	l.queue = slices.DeleteFunc(l.queue, expired)
	for _, waiting := range l.parked { // whoever unparks them drops them
		for _, p := range waiting {
			expired(p)
		}
	}
	for _, f := range l.flights {
		for _, call := range f.calls {
			for _, p := range call {
				expired(p)
			}
		}
	}
	stuck := len(l.flights) > 0 && now.Sub(l.flights[0].sentAt) > l.a.cfg.Timeout
	l.telling += len(late)
	l.mu.Unlock()
	for _, p := range late {
		p.done(Ack{}, apierr.New(apierr.Unavailable, "the event log does not answer; retry with the same client_id"))
	}
	if len(late) > 0 {
		l.a.Flushed()
	}
	if stuck {
		l.link.drop()
	}
	l.mu.Lock()
	l.telling -= len(late)
	l.leftLocked()
	l.mu.Unlock()
}

// replyError is an error that Redis itself said.
type replyError string

// RedisError marks it as one of go-redis, which has a type of its own for them that cannot be made.
func (replyError) RedisError() {}

func (e replyError) Error() string { return string(e) }
func (e replyError) word() string  { word, _, _ := strings.Cut(string(e), " "); return word }

// elsewhere are the refusals of a server that is not, or no longer, the one for this partition.
var elsewhere = map[string]bool{"MOVED": true, "READONLY": true, "MASTERDOWN": true}

// later are the refusals of a server that will be able to soon.
var later = map[string]bool{"BUSY": true, "LOADING": true, "CLUSTERDOWN": true, "ASK": true, "TRYAGAIN": true, "NOREPLICAS": true, "MISCONF": true, "OOM": true}

// refusedAt reads the pair of a refusal: "EPOCH <seq> <epoch>" or "STALE <seq> <epoch>".
func refusedAt(err error) Head {
	f := strings.Fields(err.Error())
	if len(f) != 3 {
		return Head{}
	}
	h, _ := headOf([]any{f[1], f[2]})
	return h
}

// parkLocked settles beside the lane what keeps a channel from taking appends, so that other channels go
// on. What the channel submits meanwhile waits behind call.
func (l *lane) parkLocked(call []*pending, settle func(context.Context, chat.ChannelID) error) {
	channel := call[0].channel
	waiting := call
	rest := l.queue[:0:0]
	for _, p := range l.queue {
		if p.channel == channel {
			waiting = append(waiting, p)
		} else {
			rest = append(rest, p)
		}
	}
	l.queue = rest
	l.parked[channel] = append(waiting, l.parked[channel]...)
	l.settling.Go(func() { // is finished whatever ends meanwhile
		ctx, cancel := context.WithTimeout(context.Background(), l.a.cfg.Timeout)
		defer cancel()
		l.unpark(channel, settle(ctx, channel))
	})
}

// unpark puts back what waited or, with an error, fails it: nothing of it was appended.
func (l *lane) unpark(channel chat.ChannelID, err error) {
	l.mu.Lock()
	waiting := l.parked[channel]
	delete(l.parked, channel)
	if err == nil {
		l.queue = append(waiting, l.queue...)
		turn := l.readyLocked()
		l.leftLocked()
		l.mu.Unlock()
		l.send(turn)
		return
	}
	waiting = slices.DeleteFunc(waiting, func(p *pending) bool { return p.over })
	for _, p := range waiting {
		p.over = true
	}
	l.telling += len(waiting)
	l.mu.Unlock()
	l.a.cfg.Logger.Warn("channel's numbering not settled", "channel_id", channel, "err", err)
	for _, p := range waiting {
		p.done(Ack{}, apierr.Wrap(err, apierr.Unavailable, "the channel's numbering cannot be read right now"))
	}
	l.a.Flushed()
	l.mu.Lock()
	l.telling -= len(waiting)
	l.leftLocked()
	l.mu.Unlock()
}
