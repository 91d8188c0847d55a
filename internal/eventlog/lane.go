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
	calls   []scriptCall
	replies int  // so far
	loads   bool // the reply to loading the script comes before
	sentAt  time.Time
}

// scriptCall is a call of append.lua: events of one channel.
type scriptCall struct {
	of     *line
	events []*pending
	stored int64 // the highest seq that PostgreSQL holds, as far as that was asked
}

// trip tells of a flight who wants to know.
func (f *flight) trip() Trip {
	t := Trip{SentAt: f.sentAt, Channels: len(f.calls)}
	for _, c := range f.calls {
		t.Events += len(c.events)
	}
	return t
}

// line is what waits of a channel, in order.
type line struct {
	channel chat.ChannelID
	waiting []*pending
	state   lineState
}

type lineState byte

const (
	idle   lineState = iota
	ready            // in the lane's list of those that can leave
	flying           // a call of it is on its way: what waits stays until that is settled
	parked           // the channel takes no appends right now
)

// lane sends the appends of some partitions. A channel is in one batch at a time. That alone keeps its
// order: nothing of it is sent before what was sent earlier is settled.
//
// It has no goroutine. A batch leaves from whoever finds the way free: the submitter when it is idle, the
// link when the last reply of a batch has come. One of them writes at a time, and the others leave to it
// what they bring, so nobody waits for another's write. Who writes goes on while there is more, until all flights
// are under way.
type lane struct {
	a    *Appender
	link *link

	mu       sync.Mutex
	lines    map[chat.ChannelID]*line // of channels of which something waits or is on its way
	ready    []*line                  // those that can leave, the first to come first
	unused   []*line
	sending  bool      // somebody writes, and looks for more before it stops
	flights  []*flight // the oldest first
	turn     uint64    // of the connection; 0 while there is none
	attempt  int       // how often in a row something had to be sent again later
	held     bool      // a timer runs, after which it is
	reload   bool      // the script must be loaded first
	compared comparison
	closed   bool
	empty    chan struct{}  // closed when closed and nothing is left
	settling sync.WaitGroup // what makes parked channels take appends again

	settled []*pending // their outcomes are known, and told when the link has handed on all of a read
	spare   []*pending // an empty slice for the next
	telling int        // events whose outcome is being told
}

func newLane(a *Appender, k *link) *lane {
	l := &lane{a: a, link: k, empty: make(chan struct{}), lines: make(map[chat.ChannelID]*line)}
	l.compared.forgetLocked()
	k.lane = l
	return l
}

func (l *lane) submit(p *pending) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return apierr.New(apierr.Unavailable, "shutting down")
	}
	q, known := l.lines[p.channel]
	if !known {
		q = l.newLineLocked(p.channel)
	}
	q.waiting = append(q.waiting, p)
	if q.state == idle {
		l.readyLocked(q)
	}
	mine := l.startLocked()
	l.mu.Unlock()
	if mine {
		l.send()
	}
	return nil
}

func (l *lane) newLineLocked(channel chat.ChannelID) *line {
	var q *line
	if n := len(l.unused); n > 0 {
		q, l.unused = l.unused[n-1], l.unused[:n-1]
	} else {
		q = new(line)
	}
	q.channel = channel
	l.lines[channel] = q
	return q
}

func (l *lane) readyLocked(q *line) {
	q.state = ready
	l.ready = append(l.ready, q)
}

// maxUnused bounds the lines that are kept for the next channels.
const maxUnused = 256

// landedLocked says that nothing of a channel is on its way any more: what waits can leave.
func (l *lane) landedLocked(q *line) {
	if q.state = idle; len(q.waiting) > 0 {
		l.readyLocked(q)
		return
	}
	delete(l.lines, q.channel)
	if len(l.unused) < maxUnused && cap(q.waiting) <= maxPerCall {
		l.unused = append(l.unused, q)
	}
}

// mayLocked reports whether a batch can leave now.
func (l *lane) mayLocked() bool {
	return l.turn != 0 && !l.held && len(l.flights) < maxFlights && len(l.ready) > 0
}

// startLocked reports whether the caller must send, once it has let go of mu.
func (l *lane) startLocked() bool {
	if l.sending || !l.mayLocked() {
		return false
	}
	l.sending = true
	return true
}

// send writes batches until there is none that can leave. Called by whom startLocked tells to. If the
// connection is lost meanwhile, down puts back what was written.
func (l *lane) send() {
	for {
		l.mu.Lock()
		turn := l.turn
		if !l.mayLocked() {
			l.sending = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		if l.link.write(turn, ofLane, l.encode) {
			continue
		}
		l.mu.Lock()
		lost := l.turn == turn // then up, when there is a connection again, finds nobody sending
		l.sending = !lost
		l.mu.Unlock()
		if lost {
			return
		}
	}
}

// encode appends the next batch. Called while it alone may write to the connection: replies come in the
// order of what was written, so flights must be in it.
func (l *lane) encode(to []byte) (_ []byte, replies int) {
	l.mu.Lock()
	if !l.mayLocked() { // expired meanwhile, or the connection is gone
		l.mu.Unlock()
		return to, 0
	}
	f := l.takeLocked()
	l.mu.Unlock()
	if f == nil {
		return to, 0
	}
	if f.loads {
		to = appendCommand(to, "SCRIPT", "LOAD", appendSource)
		replies++
	}
	for _, c := range f.calls {
		to = l.appendCall(to, c)
	}
	return to, replies + len(f.calls)
}

// takeLocked builds the next batch of what can leave. It returns nil if all of that has to be compared with
// PostgreSQL first.
func (l *lane) takeLocked() *flight {
	f := &flight{calls: make([]scriptCall, 0, min(len(l.ready), maxBatch)), sentAt: time.Now()}
	taken, seen := 0, 0
	for _, q := range l.ready {
		if taken == maxBatch {
			break
		}
		seen++
		stored, ok := l.comparedLocked(q)
		if !ok {
			continue
		}
		n := min(len(q.waiting), maxPerCall, maxBatch-taken)
		f.calls = append(f.calls, scriptCall{q, q.waiting[:n:n], stored})
		q.waiting = q.waiting[n:]
		q.state = flying
		taken += n
	}
	l.ready = slices.Delete(l.ready, 0, seen)
	if len(f.calls) == 0 {
		return nil
	}
	f.loads, l.reload = l.reload, false
	l.flights = append(l.flights, f)
	return f
}

// appendCall appends the call of append.lua for the events of one channel.
func (l *lane) appendCall(b []byte, c scriptCall) []byte {
	call, channel := c.events, c.events[0].channel
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
	b = appendBulkInt(b, max(known.Seq, c.stored))
	for _, e := range call {
		b = append(b, e.words[e.keys:]...)
	}
	return b
}

// up says that there is a connection.
func (l *lane) up(turn uint64) {
	l.mu.Lock()
	l.turn = turn
	l.compared.forgetLocked()
	mine := l.startLocked()
	l.mu.Unlock()
	if mine {
		l.send()
	}
}

// down says that the connection is gone: what it has not answered must be sent again.
func (l *lane) down() {
	l.settle()
	l.a.Flushed()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn, l.reload = 0, false
	for _, f := range l.flights {
		for _, c := range f.calls[f.replies:] {
			l.againLocked(c)
		}
	}
	l.flights = nil
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
	c := f.calls[f.replies]
	f.replies++
	var lost error
	if v.kind == kindError {
		lost = l.refusedLocked(c, replyError(v.fields[0]))
	} else {
		l.answeredLocked(f, c, v.fields)
	}
	var mine bool
	if f.replies == len(f.calls) {
		l.flights = append(l.flights[:0], l.flights[1:]...)
		mine = l.startLocked()
	}
	l.mu.Unlock()
	if mine {
		l.send()
	}
	return lost
}

// answeredLocked notes the outcome of each event of a call.
func (l *lane) answeredLocked(f *flight, c scriptCall, results [][]byte) {
	l.attempt = 0
	var err error
	if len(results) != len(c.events)+1 {
		err = apierr.New(apierr.Internal, "the append answered %d results for %d events", len(results), len(c.events))
	}
	var epoch event.Epoch
	if err == nil {
		epoch = event.Epoch(results[0])
	}
	for i, p := range c.events {
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
	l.overLocked(c)
}

// overLocked says that a call is settled: what it was of is not kept alive by the room of the line.
func (l *lane) overLocked(c scriptCall) {
	clear(c.events)
	if len(c.of.waiting) == 0 { // nothing came behind them: their room is free
		c.of.waiting = c.events[:0]
	}
	l.landedLocked(c.of)
}

// refusedLocked deals with a call that Redis has refused as a whole: nothing of it was appended. Its error
// says that another connection is needed.
func (l *lane) refusedLocked(c scriptCall, err replyError) (lost error) {
	switch word := err.word(); {
	case word == "UNSEEDED":
		l.parkLocked(c, func(ctx context.Context, channel chat.ChannelID) error {
			_, err := l.a.log.seed(ctx, channel, l.a.floor)
			return err
		})
	case word == "EPOCH", word == "STALE":
		l.parkLocked(c, func(ctx context.Context, channel chat.ChannelID) error {
			return l.a.diverged(ctx, channel, refusedAt(err), c.stored)
		})
	case word == "NOSCRIPT":
		l.againLocked(c)
		l.reload = true
	case elsewhere[word]:
		l.againLocked(c)
		return err
	case later[word]:
		l.againLocked(c)
		l.holdLocked(err)
	default:
		l.a.cfg.Logger.Error("append refused by Redis", "channel_id", c.of.channel, "err", err)
		for _, p := range c.events {
			if !p.over {
				p.over, p.err = true, apierr.Wrap(err, apierr.Internal, "the event log refused the append")
				l.settled = append(l.settled, p)
			}
		}
		l.overLocked(c)
	}
	return nil
}

// againLocked puts a call back in front of what its channel has submitted since, but for what nobody waits
// for any more.
func (l *lane) againLocked(c scriptCall) {
	c.of.waiting = append(slices.DeleteFunc(c.events, over), c.of.waiting...)
	l.landedLocked(c.of)
}

func over(p *pending) bool { return p.over }

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
		mine := l.startLocked()
		l.mu.Unlock()
		if mine {
			l.send()
		}
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
	if l.closed && len(l.lines)+len(l.flights)+len(l.settled)+l.telling == 0 {
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
	l.compareAgainLocked(now)
	var late []*pending
	expired := func(p *pending) bool {
		if !p.over && now.After(p.deadline) {
			p.over = true
			late = append(late, p)
		}
		return p.over
	}
	for _, q := range l.lines {
		q.waiting = slices.DeleteFunc(q.waiting, expired)
	}
	l.ready = slices.DeleteFunc(l.ready, func(q *line) bool {
		if len(q.waiting) > 0 {
			return false
		}
		l.landedLocked(q)
		return true
	})
	for _, f := range l.flights {
		for _, c := range f.calls[f.replies:] { // they stay: their replies will come
			for _, p := range c.events {
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
// on. What the channel submits meanwhile waits behind the call.
func (l *lane) parkLocked(c scriptCall, settle func(context.Context, chat.ChannelID) error) {
	q := c.of
	q.waiting = append(slices.DeleteFunc(c.events, over), q.waiting...)
	q.state = parked
	l.settling.Go(func() { // is finished whatever ends meanwhile
		ctx, cancel := context.WithTimeout(context.Background(), l.a.cfg.Timeout)
		defer cancel()
		l.unpark(q, settle(ctx, q.channel))
	})
}

// unpark lets what waited leave or, with an error, fails it: nothing of it was appended.
func (l *lane) unpark(q *line, err error) {
	l.mu.Lock()
	channel := q.channel
	if err == nil {
		l.landedLocked(q)
		mine := l.startLocked()
		l.leftLocked()
		l.mu.Unlock()
		if mine {
			l.send()
		}
		return
	}
	failed := q.waiting
	for _, p := range failed {
		p.over = true
	}
	l.telling += len(failed)
	q.waiting = nil
	l.landedLocked(q)
	l.mu.Unlock()
	l.a.cfg.Logger.Warn("channel's numbering not settled", "channel_id", channel, "err", err)
	for _, p := range failed {
		p.done(Ack{}, apierr.Wrap(err, apierr.Unavailable, "the channel's numbering cannot be read right now"))
	}
	l.a.Flushed()
	l.mu.Lock()
	l.telling -= len(failed)
	l.leftLocked()
	l.mu.Unlock()
}
