// Package appender appends events to the log. Callers share round trips, and the events in each
// channel keep their order. A Budget refuses appends before Redis is full.
package appender

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/logconn"
	"parley.chat/internal/platform/resp"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

//go:embed append.lua
var appendSource string

var appendHash = redis.NewScript(appendSource).Hash()

// IdempotencyWindow is the time during which a retry with the same client id is safe.
const IdempotencyWindow = 10 * time.Minute

// Config configures an Appender. A zero field selects its default.
type Config struct {
	// Over holds the connections over which events are appended. The caller runs them: it starts
	// them after New has returned and before it calls Run, and stops them after Run has returned.
	// If Over is nil, the Appender creates and runs its own.
	Over    *logconn.Connections
	Timeout time.Duration // default 5s: how long an append waits for Redis before it fails as unavailable
	Logger  *slog.Logger  // default slog.Default()

	// Known returns the newest head (seq and epoch) of a channel that the process has seen, or the
	// zero Head if it has seen none. If Known is set and Redis has lost writes, Redis refuses the
	// append. The append is sent again after Diverged has resolved the difference, either by
	// adopting the newer epoch or by repairing the channel. If Known and Diverged are both nil,
	// appends trust the counters in Redis.
	Known    func(chat.ChannelID) eventlog.Head
	Diverged func(ctx context.Context, channel chat.ChannelID, found eventlog.Head) error
	// Stored, if set, reads the stored seqs from PostgreSQL. They are compared with Redis before
	// the first append to a channel over each connection. If Redis is behind, it has lost writes,
	// and the channel continues above the stored seqs, in a new epoch. While PostgreSQL is not
	// responding, appends trust the counters in Redis.
	Stored eventlog.Stored
	// Flush, if set, is called after each batch of outcomes has been reported, so that the caller
	// can send all resulting acks together.
	Flush func()
	// Budget refuses appends while Redis is full or the backlog is too long. A nil Budget never
	// refuses.
	Budget *Budget
}

// Appender appends events to channels. Callers share round trips: events that arrive while a
// connection is busy form its next batch. A batch is a pipeline with one script call per channel.
// No append waits for a timer. The events of a channel keep the order in which they were submitted.
//
// A batch whose outcome is unknown is sent again as a whole. That is safe because of the
// idempotency records.
type Appender struct {
	log   *eventlog.Log
	rdb   redis.UniversalClient
	conns *logconn.Connections
	floor eventlog.Floor
	cfg   Config
	lanes []*lane // by connection
}

// New returns an Appender that appends to log, which is stored in rdb. If Redis has no counter for
// a channel, the Appender calls floor to read the channel's highest stored seq.
func New(log *eventlog.Log, rdb redis.UniversalClient, floor eventlog.Floor, cfg Config) *Appender {
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	a := &Appender{log: log, rdb: rdb, conns: cfg.Over, floor: floor, cfg: cfg}
	if a.conns == nil {
		a.conns = logconn.New(rdb, log.Partitions(), cfg.Logger)
	}
	for _, k := range a.conns.All() {
		a.lanes = append(a.lanes, newLane(a, k))
	}
	return a
}

// Run appends until ctx is done. Then it refuses new events and finishes the events already
// submitted.
func (a *Appender) Run(ctx context.Context) error {
	var all sync.WaitGroup
	helping, stop := context.WithCancel(context.WithoutCancel(ctx))
	all.Go(func() { a.expire(helping) })
	if a.cfg.Over == nil {
		all.Go(func() { _ = a.conns.Run(helping) })
	}
	<-ctx.Done()
	for _, l := range a.lanes {
		l.close()
	}
	stop()
	all.Wait()
	return nil
}

// expire periodically fails the appends that Redis has not answered in time. It returns when ctx is
// done.
func (a *Appender) expire(ctx context.Context) {
	tick := time.NewTicker(min(a.cfg.Timeout/8, 250*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, l := range a.lanes {
				l.expire(now)
			}
		}
	}
}

// Options configures one append.
type Options struct {
	Retention time.Duration // lifetime of the idempotency record; default IdempotencyWindow
	Batch     *BatchInfo    // if not nil, it is filled in before the success of the append is reported
}

// BatchInfo describes the batch in which an append was sent.
type BatchInfo struct {
	SentAt   time.Time // time of the most recent attempt
	Events   int       // number of events in the batch
	Channels int
}

// Ack confirms that an event was appended, and contains the event's seq.
type Ack struct {
	ID        chat.EventID
	Seq       int64
	Epoch     event.Epoch
	SentAt    chat.Time
	Duplicate bool // whether the client id was used before for the same content; the Ack is for the earlier event
}

// Append appends e and waits for the outcome. It ignores e.Seq. Its error is an *apierr.Error:
// Forbidden (the sender has left), Conflict (the client id was used for different content),
// Overloaded (see Budget) or Unavailable. Unavailable means that Redis did not answer in time or,
// if the channel has no counter, that PostgreSQL did not. The event may have been appended anyway;
// retry with the same client id to find out.
func (a *Appender) Append(ctx context.Context, e frame.Event, o Options) (Ack, error) {
	type outcome struct {
		ack Ack
		err error
	}
	done := make(chan outcome, 1)
	if err := a.Submit(&e, o, func(ack Ack, err error) { done <- outcome{ack, err} }); err != nil {
		return Ack{}, err
	}
	select {
	case out := <-done:
		return out.ack, out.err
	case <-ctx.Done():
		return Ack{}, apierr.Wrap(ctx.Err(), apierr.Unavailable, "The event log did not answer in time. Retry with the same client_id.")
	}
}

// Submit is like Append, but does not wait. It does not retain e. It calls done exactly once, from
// one of the Appender's goroutines; done must not block. If Submit returns an error, nothing was
// submitted, and done is never called.
func (a *Appender) Submit(e *frame.Event, o Options, done func(Ack, error)) error {
	if e.ClientID == nil || e.ClientID.IsZero() {
		return apierr.New(apierr.Internal, "An event must have a client_id.")
	}
	if o.Retention == 0 {
		o.Retention = IdempotencyWindow
	}
	p := a.log.Partition(e.ChannelID.UUID)
	if err := a.cfg.Budget.check(p); err != nil {
		return err
	}
	queued := &pending{
		channel: e.ChannelID, id: e.ID, sentAt: e.SentAt, deadline: time.Now().Add(a.cfg.Timeout), done: done,
		info: o.Batch,
	}
	if err := queued.encode(p, e, o.Retention); err != nil {
		return apierr.Wrap(err, apierr.Internal, "The event cannot be encoded.")
	}
	return a.lanes[a.conns.Of(p)].submit(queued)
}

// Flushed calls Config.Flush. Callers must call it after they have reported an outcome that did not
// come from the Appender.
func (a *Appender) Flushed() {
	if a.cfg.Flush != nil {
		a.cfg.Flush()
	}
}

// scratch is a pool of buffers for values whose length must be known before they are written.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// encode sets p.args to the event's keys and arguments for append.lua.
func (p *pending) encode(partition int, e *frame.Event, retention time.Duration) error {
	part := scratch.Get().(*[]byte)
	defer scratch.Put(part)
	after, err := e.AppendAfter((*part)[:0])
	if err != nil {
		return err
	}
	*part = after
	subject, mark := removalMark(e)
	b := make([]byte, 0, 720+len(after))
	b = resp.AppendBulk(b, rediskey.Idempotency(partition, e.ChannelID, e.SenderID, *e.ClientID))
	b = resp.AppendBulk(b, rediskey.Removed(partition, e.ChannelID, subject))
	p.keysLen = len(b)
	b = resp.AppendBulk(b, string(e.Type))
	b = appendBulkUUID(b, e.ID.UUID)
	b = appendBulkUUID(b, e.SenderID.UUID)
	b = appendBulkUUID(b, e.ClientID.UUID)
	sum := digest(e)
	b = resp.AppendBulk(b, sum[:])
	var room [128]byte
	b = resp.AppendBulk(b, e.AppendBefore(room[:0]))
	b = resp.AppendBulk(b, after)
	b = append(b, "$24\r\n"...)
	b = append(e.SentAt.AppendTo(b), "\r\n"...)
	b = resp.AppendBulkInt(b, retention.Milliseconds())
	p.args = resp.AppendBulk(b, mark)
	return nil
}

// appendBulkUUID appends an id as a RESP bulk string.
func appendBulkUUID(b []byte, id uuid.UUID) []byte {
	b = append(b, "$36\r\n"...)
	return append(chat.AppendUUID(b, id), '\r', '\n')
}

// Recorded returns the ack of an event that was appended earlier under the same client id. found is
// false if there is no record, or if it has expired. The error is a Conflict if the client id was
// used for different content.
func (a *Appender) Recorded(ctx context.Context, e *frame.Event) (ack Ack, found bool, err error) {
	p := a.log.Partition(e.ChannelID.UUID)
	record, err := a.rdb.Get(ctx, rediskey.Idempotency(p, e.ChannelID, e.SenderID, *e.ClientID)).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return Ack{}, false, nil
	case err != nil:
		return Ack{}, false, apierr.Wrap(err, apierr.Unavailable, "The event log is not available. Retry with the same client_id.")
	case !strings.HasPrefix(record, digestText(e)+" "):
		return Ack{}, false, errConflict
	}
	ack, err = duplicateOf(&pending{}, "", record)
	return ack, err == nil, err
}

var errConflict = apierr.New(apierr.Conflict, "This client_id was already used for a message with different content.")

// removalMark returns the user whose removal mark the event affects, and the event's effect on that
// mark. The mark is set when the user leaves the channel, and cleared when they join again.
func removalMark(e *frame.Event) (subject chat.UserID, mark string) {
	subject = e.SenderID
	switch {
	case e.Type == event.MemberLeft && e.UserID != nil:
		return *e.UserID, "set"
	case e.Type == event.MemberJoined && e.UserID != nil:
		return *e.UserID, "clear"
	// A member's reaction can still be removed after the member has left.
	case e.Type.FromMember() && e.RemovedBy == nil:
		return subject, "check"
	}
	return subject, ""
}

// digest returns a hash of the content that the sender submitted. Comparing digests detects a
// client id that is reused for different content.
func digest(e *frame.Event) (text [2 * digestBytes]byte) {
	b := make([]byte, 0, 256+len(e.Body))
	part := func(s string) {
		b = append(strconv.AppendInt(b, int64(len(s)), 10), ':')
		b = append(b, s...)
	}
	part(string(e.Type))
	part(e.Body)
	part(e.Emoji)
	part(strconv.FormatBool(e.Remove))
	for _, ref := range []*chat.EventID{e.MessageID, e.ReplyTo} {
		if ref == nil {
			part("")
		} else {
			part(ref.String())
		}
	}
	if e.UserID != nil {
		part(e.UserID.String())
	}
	sum := sha256.Sum256(b)
	hex.Encode(text[:], sum[:digestBytes])
	return text
}

const digestBytes = 12

func digestText(e *frame.Event) string { d := digest(e); return string(d[:]) }

// outcomeOf parses the script's result for p.
func outcomeOf(p *pending, epoch event.Epoch, result []byte) (Ack, error) {
	word, rest, _ := bytes.Cut(result, []byte{' '})
	switch string(word) {
	case "ok":
		seq, err := strconv.ParseInt(string(rest), 10, 64)
		if err != nil {
			return Ack{}, apierr.Wrap(err, apierr.Internal, "The append script returned an invalid seq.")
		}
		return Ack{ID: p.id, Seq: seq, Epoch: epoch, SentAt: p.sentAt}, nil
	case "dup":
		return duplicateOf(p, epoch, string(rest))
	case "conflict":
		return Ack{}, errConflict
	case "forbidden":
		return Ack{}, apierr.New(apierr.Forbidden, "You are no longer a member of this channel.")
	}
	return Ack{}, apierr.New(apierr.Internal, "The append script returned %.40q.", result)
}

// duplicateOf parses an idempotency record, which consists of digest, id, seq and sent_at.
func duplicateOf(p *pending, epoch event.Epoch, record string) (Ack, error) {
	f := strings.Split(record, " ")
	if len(f) != 4 {
		return Ack{}, apierr.New(apierr.Internal, "The idempotency record has %d fields.", len(f))
	}
	id, errID := chat.ParseEventID(f[1])
	seq, errSeq := strconv.ParseInt(f[2], 10, 64)
	var sentAt chat.Time
	errTime := sentAt.UnmarshalText([]byte(f[3]))
	if err := errors.Join(errID, errSeq, errTime); err != nil {
		return Ack{}, apierr.Wrap(err, apierr.Internal, "The idempotency record is damaged.")
	}
	// If a batch is sent again, an event may find the record from its own first attempt. It is then
	// not a duplicate.
	return Ack{ID: id, Seq: seq, Epoch: epoch, SentAt: sentAt, Duplicate: id != p.id}, nil
}
