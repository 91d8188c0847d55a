package appender

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/logconn"
	"parley.chat/internal/platform/resp"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

const (
	perEvent   = 10  // number of arguments of append.lua per event
	maxPerCall = 256 // maximum number of events per script call; limits how long a call blocks Redis
	maxBatch   = 2048

	// maxInFlight is the maximum number of batches in flight. With more than one, Redis works on
	// one batch while this process handles the replies to another. A higher limit would only make
	// the batches smaller.
	maxInFlight = 4
)

// pending is an event that is waiting to be appended, or whose append is in flight.
type pending struct {
	channel  chat.ChannelID
	id       chat.EventID
	sentAt   chat.Time
	args     []byte // the event's keys and arguments for append.lua, encoded as RESP
	keysLen  int    // length of the encoded keys in args, in bytes
	deadline time.Time
	done     func(Ack, error)
	info     *BatchInfo // nil if the caller did not request batch information

	finished bool // whether done has been called or is about to be called; guarded by the lane's mu
	ack      Ack
	err      error
}

// batch is a set of script calls sent together, one per channel.
type batch struct {
	calls   []scriptCall
	replies int  // number of replies received so far
	loads   bool // whether the batch begins with SCRIPT LOAD, so that the first reply answers that command
	sentAt  time.Time
}

// scriptCall is one call to append.lua, with events of one channel.
type scriptCall struct {
	queue  *queue
	events []*pending
	stored int64 // the channel's highest seq in PostgreSQL; 0 if unknown
}

// info describes the batch for callers that have requested it with Options.Batch.
func (f *batch) info() BatchInfo {
	t := BatchInfo{SentAt: f.sentAt, Channels: len(f.calls)}
	for _, c := range f.calls {
		t.Events += len(c.events)
	}
	return t
}

// queue holds the events of one channel that are waiting to be sent, in order.
type queue struct {
	channel chat.ChannelID
	waiting []*pending
	state   queueState
}

type queueState byte

const (
	idle     queueState = iota
	ready               // in the lane's ready list
	inFlight            // a call for the channel is in flight; further events wait until its outcome is known
	parked              // appends to the channel are suspended
)

// lane sends the appends of some partitions. A channel is in at most one batch at a time. This is
// sufficient to preserve its order: none of its events is sent until the outcome of the earlier
// ones is known.
//
// A lane has no goroutine. The goroutine that finds the lane free sends the batch: the submitter if
// the lane is idle, or the connection's reader when the last reply to a batch has arrived. Only one
// goroutine writes at a time. Other goroutines only add their events to the queues, so none of them
// waits for a write. The writer continues as long as there are events to send and fewer than
// maxInFlight batches are in flight.
type lane struct {
	a    *Appender
	conn *logconn.Conn

	mu       sync.Mutex
	queues   map[chat.ChannelID]*queue // channels with events that are waiting or in flight
	ready    []*queue                  // queues whose events can be sent, in the order in which they became ready
	unused   []*queue
	sending  bool     // whether a goroutine is writing batches; it checks for more events before it stops
	batches  []*batch // in flight, oldest first
	gen      uint64   // generation of the connection; 0 while there is no connection
	attempt  int      // number of consecutive calls that Redis refused with a temporary error
	paused   bool     // whether sending is paused until a timer resets this field
	reload   bool     // whether the next batch must load the script first
	compared comparison
	closed   bool
	empty    chan struct{}  // closed when the lane refuses new events and none is pending
	settling sync.WaitGroup // goroutines that make parked channels ready again

	// settled holds the events whose outcome is known but not yet reported. The outcomes are
	// reported once the connection has handled all replies from one read.
	settled   []*pending
	spare     []*pending // empty slice, reused by the next Settle
	reporting int        // number of events whose done callback is being called
}

func newLane(a *Appender, k *logconn.Conn) *lane {
	l := &lane{a: a, conn: k, empty: make(chan struct{}), queues: make(map[chat.ChannelID]*queue)}
	l.compared.forgetLocked()
	k.SetLane(l, appendSource)
	return l
}

func (l *lane) submit(p *pending) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return apierr.New(apierr.Unavailable, "The server is shutting down. Retry with the same client_id.")
	}
	q, known := l.queues[p.channel]
	if !known {
		q = l.newQueueLocked(p.channel)
	}
	q.waiting = append(q.waiting, p)
	if q.state == idle {
		l.readyLocked(q)
	}
	mustSend := l.startSendLocked()
	l.mu.Unlock()
	if mustSend {
		l.send()
	}
	return nil
}

func (l *lane) newQueueLocked(channel chat.ChannelID) *queue {
	var q *queue
	if n := len(l.unused); n > 0 {
		q, l.unused = l.unused[n-1], l.unused[:n-1]
	} else {
		q = new(queue)
	}
	q.channel = channel
	l.queues[channel] = q
	return q
}

func (l *lane) readyLocked(q *queue) {
	q.state = ready
	l.ready = append(l.ready, q)
}

// maxUnusedQueues limits how many idle queues are kept for reuse.
const maxUnusedQueues = 256

// releaseLocked records that no call for the queue's channel is in flight anymore. If events are
// waiting in the queue, it becomes ready; otherwise it is removed from the lane.
func (l *lane) releaseLocked(q *queue) {
	if q.state = idle; len(q.waiting) > 0 {
		l.readyLocked(q)
		return
	}
	delete(l.queues, q.channel)
	if len(l.unused) < maxUnusedQueues && cap(q.waiting) <= maxPerCall {
		l.unused = append(l.unused, q)
	}
}

// canSendLocked reports whether a batch can be sent now.
func (l *lane) canSendLocked() bool {
	return l.gen != 0 && !l.paused && len(l.batches) < maxInFlight && len(l.ready) > 0
}

// startSendLocked sets sending and returns true if a batch can be sent and no goroutine is sending.
// The caller must then release mu and call send.
func (l *lane) startSendLocked() bool {
	if l.sending || !l.canSendLocked() {
		return false
	}
	l.sending = true
	return true
}

// send writes batches until none can be sent. Only a caller for which startSendLocked returned true
// may call it. If the connection is lost while send is running, Down requeues everything that was
// written.
func (l *lane) send() {
	for {
		l.mu.Lock()
		gen := l.gen
		if !l.canSendLocked() {
			l.sending = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		if l.conn.Send(gen, l.encode) {
			continue
		}
		l.mu.Lock()
		lost := l.gen == gen // if the connection was lost, clear sending so that the next call to Up starts sending
		l.sending = !lost
		l.mu.Unlock()
		if lost {
			return
		}
	}
}

// encode appends the next batch to the output. It is called with exclusive access to the
// connection, because replies arrive in the order of the writes and batches must be recorded in
// that order.
func (l *lane) encode(to []byte) (_ []byte, replies int) {
	l.mu.Lock()
	if !l.canSendLocked() { // the events have expired in the meantime, or the connection is gone
		l.mu.Unlock()
		return to, 0
	}
	f := l.nextBatchLocked()
	l.mu.Unlock()
	if f == nil {
		return to, 0
	}
	if f.loads {
		to = resp.AppendCommand(to, "SCRIPT", "LOAD", appendSource)
		replies++
	}
	for _, c := range f.calls {
		to = l.appendCall(to, c)
	}
	return to, replies + len(f.calls)
}

// nextBatchLocked builds the next batch from the ready queues. It returns nil if every ready queue
// must first be compared with PostgreSQL.
func (l *lane) nextBatchLocked() *batch {
	f := &batch{calls: make([]scriptCall, 0, min(len(l.ready), maxBatch)), sentAt: time.Now()}
	taken, seen := 0, 0
	for _, q := range l.ready {
		if taken == maxBatch {
			break
		}
		seen++
		stored, ok := l.storedSeqLocked(q)
		if !ok {
			continue
		}
		n := min(len(q.waiting), maxPerCall, maxBatch-taken)
		f.calls = append(f.calls, scriptCall{q, q.waiting[:n:n], stored})
		q.waiting = q.waiting[n:]
		q.state = inFlight
		taken += n
	}
	l.ready = slices.Delete(l.ready, 0, seen)
	if len(f.calls) == 0 {
		return nil
	}
	f.loads, l.reload = l.reload, false
	l.batches = append(l.batches, f)
	return f
}

// appendCall appends the call to append.lua for one channel's events.
func (l *lane) appendCall(b []byte, c scriptCall) []byte {
	call, channel := c.events, c.events[0].channel
	p := l.a.log.Partition(channel.UUID)
	var known eventlog.Head
	if l.a.cfg.Known != nil {
		known = l.a.cfg.Known(channel)
	}
	keys := 4 + 2*len(call)
	b = resp.AppendArray(b, 3+keys+4+perEvent*len(call))
	b = resp.AppendBulk(b, "EVALSHA")
	b = resp.AppendBulk(b, appendHash)
	b = resp.AppendBulkInt(b, int64(keys))
	b = resp.AppendBulk(b, rediskey.Counter(p, channel))
	b = resp.AppendBulk(b, rediskey.Stream(p))
	b = resp.AppendBulk(b, rediskey.Tail(p, channel))
	b = resp.AppendBulk(b, rediskey.Topic(p, channel))
	for _, e := range call {
		b = append(b, e.args[:e.keysLen]...)
	}
	b = resp.AppendBulkInt(b, event.Version)
	b = resp.AppendBulk(b, channel.String())
	b = resp.AppendBulk(b, string(known.Epoch))
	b = resp.AppendBulkInt(b, max(known.Seq, c.stored))
	for _, e := range call {
		b = append(b, e.args[e.keysLen:]...)
	}
	return b
}

// Up records that the connection is open and has generation gen, and starts sending.
func (l *lane) Up(gen uint64) {
	l.mu.Lock()
	l.gen = gen
	l.compared.forgetLocked()
	mustSend := l.startSendLocked()
	l.mu.Unlock()
	if mustSend {
		l.send()
	}
}

// Down records that the connection is gone, and requeues the calls that were not answered.
func (l *lane) Down() {
	l.Settle()
	l.Flushed()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gen, l.reload = 0, false
	for _, f := range l.batches {
		for _, c := range f.calls[f.replies:] {
			l.requeueLocked(c)
		}
	}
	l.batches = nil
}

// Replied handles the reply to the oldest unanswered call. If it returns an error, the connection
// is closed.
func (l *lane) Replied(v resp.Value) error {
	l.mu.Lock()
	if len(l.batches) == 0 {
		l.mu.Unlock()
		return errors.New("more replies than calls")
	}
	f := l.batches[0]
	if f.loads {
		// If loading failed, the next batch loads the script again.
		f.loads, l.reload = false, l.reload || v.Kind == resp.KindError
		l.mu.Unlock()
		return nil
	}
	c := f.calls[f.replies]
	f.replies++
	var lost error
	if v.Kind == resp.KindError {
		lost = l.refusedLocked(c, replyError(v.Fields[0]))
	} else {
		l.answeredLocked(f, c, v.Fields)
	}
	var mustSend bool
	if f.replies == len(f.calls) {
		l.batches = append(l.batches[:0], l.batches[1:]...)
		mustSend = l.startSendLocked()
	}
	l.mu.Unlock()
	if mustSend {
		l.send()
	}
	return lost
}

// answeredLocked records the outcome of each event of a call.
func (l *lane) answeredLocked(f *batch, c scriptCall, results [][]byte) {
	l.attempt = 0
	var err error
	if len(results) != len(c.events)+1 {
		err = apierr.New(apierr.Internal, "The append script returned %d results for %d events.", len(results), len(c.events))
	}
	var epoch event.Epoch
	if err == nil {
		epoch = event.Epoch(results[0])
	}
	for i, p := range c.events {
		if p.finished {
			continue
		}
		if p.err = err; err == nil {
			p.ack, p.err = outcomeOf(p, epoch, results[i+1])
		}
		if p.info != nil && p.err == nil {
			*p.info = f.info()
		}
		p.finished = true
		l.settled = append(l.settled, p)
	}
	l.finishLocked(c)
}

// finishLocked releases the queue of a call whose outcomes are all known. It clears the call's
// events so that the queue's backing array does not keep the events alive.
func (l *lane) finishLocked(c scriptCall) {
	clear(c.events)
	if len(c.queue.waiting) == 0 { // no event is queued behind c.events, so the array can be reused
		c.queue.waiting = c.events[:0]
	}
	l.releaseLocked(c.queue)
}

// refusedLocked handles a call that Redis has refused as a whole. None of its events was appended.
// If it returns an error, the lane needs a new connection.
func (l *lane) refusedLocked(c scriptCall, err replyError) (lost error) {
	switch word := err.word(); {
	case word == "UNSEEDED":
		l.parkLocked(c, func(ctx context.Context, channel chat.ChannelID) error {
			_, err := l.a.log.EnsureHead(ctx, channel, l.a.floor)
			return err
		})
	case word == "EPOCH", word == "STALE":
		l.parkLocked(c, func(ctx context.Context, channel chat.ChannelID) error {
			return l.a.diverged(ctx, channel, refusedAt(err), c.stored)
		})
	case word == "NOSCRIPT":
		l.requeueLocked(c)
		l.reload = true
	case wrongServer[word]:
		l.requeueLocked(c)
		return err
	case temporary[word]:
		l.requeueLocked(c)
		l.pauseLocked(err)
	default:
		l.a.cfg.Logger.Error("append refused by Redis", "channel_id", c.queue.channel, "err", err)
		for _, p := range c.events {
			if !p.finished {
				p.finished, p.err = true, apierr.Wrap(err, apierr.Internal, "The event log refused the append.")
				l.settled = append(l.settled, p)
			}
		}
		l.finishLocked(c)
	}
	return nil
}

// requeueLocked returns the unfinished events of a call to the front of their queue, before the
// events submitted in the meantime.
func (l *lane) requeueLocked(c scriptCall) {
	c.queue.waiting = append(slices.DeleteFunc(c.events, finished), c.queue.waiting...)
	l.releaseLocked(c.queue)
}

func finished(p *pending) bool { return p.finished }

// pauseLocked stops sending for a backoff period.
func (l *lane) pauseLocked(err error) {
	if l.paused {
		return
	}
	l.paused = true
	l.a.cfg.Logger.Warn("append temporarily refused, retrying", "err", err)
	time.AfterFunc(logconn.RetryDelay(l.attempt), func() {
		l.mu.Lock()
		l.paused = false
		mustSend := l.startSendLocked()
		l.mu.Unlock()
		if mustSend {
			l.send()
		}
	})
	l.attempt++
}

// Flushed calls Config.Flush. The connection calls it after all outcomes from the last read have
// been reported.
func (l *lane) Flushed() { l.a.Flushed() }

// Settle reports the outcomes that have become known since the last call to Settle. Only the
// connection calls it.
func (l *lane) Settle() {
	l.mu.Lock()
	batch := l.settled
	l.settled, l.spare = l.spare, nil
	l.reporting += len(batch)
	l.mu.Unlock()
	for _, p := range batch {
		p.done(p.ack, p.err)
	}
	clear(batch)
	l.mu.Lock()
	if cap(batch) <= maxBatch {
		l.spare = batch[:0]
	}
	l.reporting -= len(batch)
	l.checkEmptyLocked()
	l.mu.Unlock()
}

// checkEmptyLocked closes l.empty if the lane is closed and no event is pending.
func (l *lane) checkEmptyLocked() {
	if l.closed && len(l.queues)+len(l.batches)+len(l.settled)+l.reporting == 0 {
		select {
		case <-l.empty:
		default:
			close(l.empty)
		}
	}
}

// close refuses new events and waits until the outcome of all submitted events has been reported.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.checkEmptyLocked()
	l.mu.Unlock()
	<-l.empty
	l.settling.Wait()
}

// expire fails events whose deadline has passed; whether they were appended is unknown. If the
// oldest batch has been in flight for longer than the timeout, expire closes the connection.
func (l *lane) expire(now time.Time) {
	l.mu.Lock()
	l.compareAgainLocked(now)
	var late []*pending
	expired := func(p *pending) bool {
		if !p.finished && now.After(p.deadline) {
			p.finished = true
			late = append(late, p)
		}
		return p.finished
	}
	for _, q := range l.queues {
		q.waiting = slices.DeleteFunc(q.waiting, expired)
	}
	l.ready = slices.DeleteFunc(l.ready, func(q *queue) bool {
		if len(q.waiting) > 0 {
			return false
		}
		l.releaseLocked(q)
		return true
	})
	for _, f := range l.batches {
		for _, c := range f.calls[f.replies:] { // the calls remain recorded, because their replies may still arrive
			for _, p := range c.events {
				expired(p)
			}
		}
	}
	stuck := len(l.batches) > 0 && now.Sub(l.batches[0].sentAt) > l.a.cfg.Timeout
	l.reporting += len(late)
	l.mu.Unlock()
	for _, p := range late {
		p.done(Ack{}, apierr.New(apierr.Unavailable, "The event log is not available. Retry with the same client_id."))
	}
	if len(late) > 0 {
		l.a.Flushed()
	}
	if stuck {
		l.conn.Drop()
	}
	l.mu.Lock()
	l.reporting -= len(late)
	l.checkEmptyLocked()
	l.mu.Unlock()
}

// replyError is an error reply from Redis.
type replyError string

// RedisError implements redis.Error; the type that go-redis uses for its own errors cannot be
// constructed here.
func (replyError) RedisError() {}

func (e replyError) Error() string { return string(e) }
func (e replyError) word() string  { word, _, _ := strings.Cut(string(e), " "); return word }

// wrongServer holds the error codes with which a server refuses writes because it does not serve
// this partition, or no longer serves it.
var wrongServer = map[string]bool{"MOVED": true, "READONLY": true, "MASTERDOWN": true}

// temporary holds the error codes of a server that is expected to recover soon.
var temporary = map[string]bool{"BUSY": true, "LOADING": true, "CLUSTERDOWN": true, "ASK": true, "TRYAGAIN": true, "NOREPLICAS": true, "MISCONF": true, "OOM": true}

// refusedAt parses the head from a refusal: "EPOCH <seq> <epoch>" or "STALE <seq> <epoch>".
func refusedAt(err error) eventlog.Head {
	f := strings.Fields(err.Error())
	if len(f) != 3 {
		return eventlog.Head{}
	}
	seq, parseErr := strconv.ParseInt(f[1], 10, 64)
	if parseErr != nil {
		return eventlog.Head{}
	}
	return eventlog.Head{Seq: seq, Epoch: event.Epoch(f[2])}
}

// parkLocked suspends the appends to the channel of call c. It runs settle in a new goroutine;
// settle resolves the problem that prevents the appends. Events submitted to the channel in the
// meantime are queued behind the events of c. Other channels are not blocked.
func (l *lane) parkLocked(c scriptCall, settle func(context.Context, chat.ChannelID) error) {
	q := c.queue
	q.waiting = append(slices.DeleteFunc(c.events, finished), q.waiting...)
	q.state = parked
	l.settling.Go(func() { // settle runs to completion even if the connection is lost or the Appender stops
		ctx, cancel := context.WithTimeout(context.Background(), l.a.cfg.Timeout)
		defer cancel()
		l.unpark(q, settle(ctx, q.channel))
	})
}

// unpark resumes the appends of a suspended queue. If err is not nil, it first fails all waiting
// events; none of them was appended.
func (l *lane) unpark(q *queue, err error) {
	l.mu.Lock()
	channel := q.channel
	if err == nil {
		l.releaseLocked(q)
		mustSend := l.startSendLocked()
		l.checkEmptyLocked()
		l.mu.Unlock()
		if mustSend {
			l.send()
		}
		return
	}
	failed := q.waiting
	for _, p := range failed {
		p.finished = true
	}
	l.reporting += len(failed)
	q.waiting = nil
	l.releaseLocked(q)
	l.mu.Unlock()
	l.a.cfg.Logger.Warn("failed to resolve the channel's numbering", "channel_id", channel, "err", err)
	for _, p := range failed {
		p.done(Ack{}, apierr.Wrap(err, apierr.Unavailable, "The state of this channel cannot be read at the moment. Please try again."))
	}
	l.a.Flushed()
	l.mu.Lock()
	l.reporting -= len(failed)
	l.checkEmptyLocked()
	l.mu.Unlock()
}
