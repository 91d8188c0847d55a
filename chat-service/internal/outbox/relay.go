package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/eventlog/msgtrace"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/outage"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"

	"parley.chat/chat-service/internal/revoked"
	"parley.chat/chat-service/internal/seen"
)

const (
	pollInterval  = time.Second // how often to check for rows from crashed processes, and from ws-server while LISTEN is interrupted
	maxRetryDelay = 5 * time.Second
	roundTimeout  = 10 * time.Second // time limit for a relay round, which holds a transaction open

	channelsPerRound = 32  // maximum number of channels that are relayed concurrently
	rowsPerChannel   = 100 // maximum number of rows that a round relays per channel, in order

	// retention is how long the idempotency record of a relayed event is kept. It must exceed the
	// time that a row can wait in the outbox.
	retention = 7 * 24 * time.Hour
)

// Config configures a Relay. All fields except Traces and Registry are required.
type Config struct {
	DB       *bun.DB
	Log      *eventlog.Log
	Appender *appender.Appender
	Seen     *seen.Heads
	Revoked  *revoked.Marks
	Traces   *msgtrace.Tracer // may be nil
	Logger   *slog.Logger
	Registry prometheus.Registerer
}

// Relay empties the outbox.
type Relay struct {
	cfg     Config
	outages *outage.Log
	poked   chan struct{}
	relayed prometheus.Counter
	failed  prometheus.Counter
	dropped prometheus.Counter
}

// NewRelay returns a Relay. It does no I/O and starts no goroutines.
func NewRelay(cfg Config) *Relay {
	with := promauto.With(cfg.Registry)
	counter := func(name, help string) prometheus.Counter {
		return with.NewCounter(prometheus.CounterOpts{Name: "parley_chat_outbox_" + name, Help: help})
	}
	return &Relay{
		cfg: cfg, poked: make(chan struct{}, 1), outages: outage.New(cfg.Logger, "outbox relay is interrupted", "outbox relay resumed"),
		relayed: counter("relayed_total", "Outbox rows relayed."),
		failed:  counter("failures_total", "Failed attempts to relay an outbox row, which will be retried."),
		dropped: counter("dropped_total", "Outbox rows dropped because they can never be relayed."),
	}
}

// Poke notifies the relay of new rows. It does not block and may be called from any goroutine.
func (r *Relay) Poke() {
	select {
	case r.poked <- struct{}{}:
	default: // already poked
	}
}

// Run relays rows until ctx is canceled, and then finishes the current round. While a store is
// down, it retries with increasing delays.
func (r *Relay) Run(ctx context.Context) error {
	var listening sync.WaitGroup
	listening.Go(func() { r.listen(ctx) })
	defer listening.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var pause time.Duration
	var after int64
	for {
		poked := r.poked
		if pause > 0 {
			poked = nil // while a store is down, a poke must not trigger an earlier retry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-poked:
		case <-timer.C:
		}
		out, err := r.round(context.WithoutCancel(ctx), after)
		after = out.last
		switch {
		case err != nil && out.relayed == 0:
			pause = min(max(2*pause, 100*time.Millisecond), maxRetryDelay)
			r.outages.Failed(ctx, "relay", err)
			timer.Reset(pause)
		case out.more:
			pause = 0
			timer.Reset(0)
		default:
			if err == nil {
				r.outages.Worked(ctx, "relay")
			}
			pause = 0
			timer.Reset(pollInterval)
		}
	}
}

// listen pokes the relay when PostgreSQL notifies it of new rows from ws-server. Without the
// notification, those rows would wait for the next poll.
func (r *Relay) listen(ctx context.Context) {
	for {
		err := database.Listen(ctx, r.cfg.DB, "outbox", func() {
			r.outages.Worked(ctx, "listen")
			r.Poke()
		})
		if err == nil {
			return
		}
		r.outages.Failed(ctx, "listen", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(maxRetryDelay):
		}
	}
}

// outcome is the result of a round.
type outcome struct {
	relayed int
	last    int64 // the next round continues after the row with this id, so that failing channels do not delay others
	more    bool  // whether more rows may be waiting
}

// round relays rows from the next channels whose first row has an id greater than after. The
// transaction that locks a channel's first row owns the channel. Other relays skip the channel
// until the commit, because its first row stays the same until then. The returned error describes
// the rows that could not be relayed; the other rows are relayed and deleted regardless.
func (r *Relay) round(ctx context.Context, after int64) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	var out outcome
	var failed error
	err := r.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var firsts []Row
		err := tx.NewRaw(`select o.* from outbox o
			where o.id > ? and not exists (
				select 1 from outbox e
				where coalesce(e.channel_id, e.subject_id) = coalesce(o.channel_id, o.subject_id) and e.id < o.id)
			order by o.id limit ? for update skip locked`, after, channelsPerRound).Scan(ctx, &firsts)
		if err != nil {
			return fmt.Errorf("find outbox rows: %w", err)
		}
		if len(firsts) == 0 {
			out.more = after > 0 // start again from the beginning
			return nil
		}
		out.last, out.more = firsts[len(firsts)-1].ID, true
		queues, err := readQueues(ctx, tx, firsts)
		if err != nil {
			return err
		}
		var done []int64
		if done, failed = r.relayAll(ctx, queues); len(done) == 0 {
			return nil
		}
		if _, err := tx.NewDelete().Model((*Row)(nil)).Where("id in (?)", bun.List(done)).Exec(ctx); err != nil {
			return fmt.Errorf("delete %d relayed outbox rows: %w", len(done), err)
		}
		out.relayed = len(done)
		return nil
	})
	if err != nil {
		return outcome{last: out.last}, fmt.Errorf("relay a round of the outbox: %w", errors.Join(err, failed))
	}
	r.relayed.Add(float64(out.relayed))
	return out, failed
}

// readQueues returns one queue per channel. firsts contains each channel's oldest row. A queue
// contains up to rowsPerChannel of its channel's oldest rows, in order.
func readQueues(ctx context.Context, tx bun.Tx, firsts []Row) ([][]Row, error) {
	keys := make([]string, len(firsts))
	at := map[string]int{}
	for i := range firsts {
		keys[i] = firsts[i].key()
		at[keys[i]] = i
	}
	var rows []Row
	err := tx.NewRaw(`select o.* from unnest(array[?]::uuid[]) k (key) cross join lateral (
			select * from outbox where coalesce(channel_id, subject_id) = k.key order by id limit ?) o
		order by o.id`, bun.List(keys), rowsPerChannel).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("read outbox rows of %d channels: %w", len(keys), err)
	}
	queues := make([][]Row, len(firsts))
	for _, row := range rows {
		i := at[row.key()]
		queues[i] = append(queues[i], row)
	}
	return queues, nil
}

// key identifies the queue that a row belongs to. Rows with the same key are relayed in order.
func (row *Row) key() string {
	if row.ChannelID != nil {
		return row.ChannelID.String()
	}
	return row.SubjectID.String()
}

// relayAll relays queues concurrently and stops each queue at its first failure. It returns the ids
// of the relayed rows.
func (r *Relay) relayAll(ctx context.Context, queues [][]Row) ([]int64, error) {
	done := make([][]int64, len(queues))
	errs := make([]error, len(queues))
	var g errgroup.Group
	for i, queue := range queues {
		g.Go(func() error {
			for _, row := range queue {
				if errs[i] = r.relay(ctx, row); errs[i] != nil {
					r.failed.Inc()
					return nil
				}
				done[i] = append(done[i], row.ID)
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	var all []int64
	for _, ids := range done {
		all = append(all, ids...)
	}
	return all, errors.Join(errs...)
}

// errMalformed means that a row can never be relayed.
var errMalformed = errors.New("the row is malformed")

// relay publishes a row. A row that can never be relayed is logged and counts as done, so that it
// does not block its channel forever.
func (r *Relay) relay(ctx context.Context, row Row) error {
	err := r.publish(ctx, row)
	code := apierr.CodeOf(err)
	if err != nil && (errors.Is(err, errMalformed) || code == apierr.Conflict || code == apierr.Forbidden) {
		r.dropped.Inc()
		r.cfg.Logger.ErrorContext(ctx, "outbox row dropped", "outbox_id", row.ID, "kind", string(row.Kind),
			"event_id", row.EventID.String(), "of", row.key(), "payload", string(row.Payload), "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("relay outbox row %d (%s): %w", row.ID, row.Kind, err)
	}
	return nil
}

func (r *Relay) publish(ctx context.Context, row Row) error {
	switch row.Kind {
	case MemberJoined:
		return r.membership(ctx, row, notice.ChannelAdded)
	case MemberLeft:
		return r.membership(ctx, row, notice.ChannelRemoved)
	case Unreacted:
		return r.unreacted(ctx, row)
	case ChannelUpdated:
		return r.channelUpdated(ctx, row)
	case DirectOpened:
		return r.directOpened(ctx, row)
	case SessionRevoked:
		return r.sessionRevoked(ctx, row)
	case ChannelClosed:
		return r.channelClosed(ctx, row)
	case GroupChanged:
		return r.groupChanged(ctx, row)
	case Invited:
		return r.invited(ctx, row)
	case Blocked:
		return r.blocked(ctx, row)
	}
	return fmt.Errorf("%w: kind %q", errMalformed, row.Kind)
}

func (r *Relay) membership(ctx context.Context, row Row, kind notice.Kind) error {
	var p Member
	if row.ChannelID == nil || row.ActorID == nil || row.SubjectID == nil || json.Unmarshal(row.Payload, &p) != nil {
		return errMalformed
	}
	if err := r.append(ctx, row, frame.Event{UserID: row.SubjectID, Username: p.Username}); err != nil {
		return err
	}
	return r.cfg.Log.Notify(ctx, notice.Notice{Kind: kind, UserID: *row.SubjectID, ChannelID: row.ChannelID, By: row.ActorID})
}

// unreacted appends the event that the user would have caused by removing the reaction, with the
// moderator's id added.
func (r *Relay) unreacted(ctx context.Context, row Row) error {
	var p Reaction
	if row.ChannelID == nil || row.ActorID == nil || row.SubjectID == nil || json.Unmarshal(row.Payload, &p) != nil {
		return errMalformed
	}
	return r.append(ctx, row, frame.Event{
		SenderID: *row.SubjectID, MessageID: &p.MessageID, Emoji: p.Emoji, Remove: true, RemovedBy: row.ActorID,
	})
}

// append appends an event after setting the fields that are the same for every kind of row. The
// sender is the row's actor unless e already has a sender.
func (r *Relay) append(ctx context.Context, row Row, e frame.Event) error {
	e.Type, e.ChannelID, e.ID = event.Kind(row.Kind), *row.ChannelID, row.EventID
	if e.SenderID.IsZero() {
		e.SenderID = *row.ActorID
	}
	e.ClientID, e.SentAt = &chat.ClientID{UUID: row.EventID.UUID}, chat.At(row.CreatedAt)
	trace := r.cfg.Traces.Send(ctx, &e)
	ack, err := r.cfg.Appender.Append(ctx, e, appender.Options{Retention: retention, Batch: trace.Batch()})
	trace.End(ack, err)
	if err == nil {
		r.cfg.Seen.Note(e.ChannelID, ack)
	}
	return err
}

// channelUpdated appends a channel_updated event. If the event changes a member's role, a notice
// also makes the gateways discard the cached role.
func (r *Relay) channelUpdated(ctx context.Context, row Row) error {
	var p roleChange
	if row.ChannelID == nil || row.ActorID == nil || json.Unmarshal(row.Payload, &p) != nil {
		return errMalformed
	}
	if err := r.append(ctx, row, frame.Event{Channel: row.Payload}); err != nil || p.Member == nil {
		return err
	}
	return r.cfg.Log.Notify(ctx, notice.Notice{Kind: notice.RoleChanged, UserID: p.Member.UserID, ChannelID: row.ChannelID, By: row.ActorID})
}

func (r *Relay) directOpened(ctx context.Context, row Row) error {
	var p Direct
	if row.ChannelID == nil || json.Unmarshal(row.Payload, &p) != nil {
		return errMalformed
	}
	return r.notifyAll(ctx, p.UserIDs, notice.Notice{Kind: notice.ChannelAdded, ChannelID: row.ChannelID, By: row.ActorID})
}

func (r *Relay) channelClosed(ctx context.Context, row Row) error {
	var p Users
	if row.ChannelID == nil || json.Unmarshal(row.Payload, &p) != nil {
		return errMalformed
	}
	return r.notifyAll(ctx, p.UserIDs, notice.Notice{Kind: notice.ChannelRemoved, ChannelID: row.ChannelID, By: row.ActorID})
}

func (r *Relay) groupChanged(ctx context.Context, row Row) error {
	var p Group
	if row.SubjectID == nil || json.Unmarshal(row.Payload, &p) != nil {
		return errMalformed
	}
	group := chat.GroupID{UUID: row.SubjectID.UUID}
	return r.notifyAll(ctx, p.UserIDs, notice.Notice{Kind: notice.GroupChanged, GroupID: &group, Change: p.Change, By: row.ActorID})
}

func (r *Relay) invited(ctx context.Context, row Row) error {
	var p Invitation
	if row.SubjectID == nil || json.Unmarshal(row.Payload, &p) != nil {
		return errMalformed
	}
	return r.cfg.Log.Notify(ctx, notice.Notice{
		Kind: notice.Invitation, UserID: *row.SubjectID, InvitationID: &p.InvitationID, Change: p.Change, By: row.ActorID,
	})
}

// blocked notifies both users' gateways that a block was added or removed, because gateways cache
// blocks.
func (r *Relay) blocked(ctx context.Context, row Row) error {
	if row.SubjectID == nil || row.ActorID == nil {
		return errMalformed
	}
	return r.notifyAll(ctx, []chat.UserID{*row.SubjectID, *row.ActorID}, notice.Notice{Kind: notice.Blocked, By: row.ActorID})
}

// notifyAll sends the same notice to each of the users.
func (r *Relay) notifyAll(ctx context.Context, users []chat.UserID, n notice.Notice) error {
	for _, n.UserID = range users {
		if err := r.cfg.Log.Notify(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (r *Relay) sessionRevoked(ctx context.Context, row Row) error {
	var p Session
	if row.SubjectID == nil || json.Unmarshal(row.Payload, &p) != nil {
		return errMalformed
	}
	if err := r.cfg.Revoked.Set(ctx, *row.SubjectID, p.SessionID); err != nil {
		return err
	}
	return r.cfg.Log.Notify(ctx, notice.Notice{Kind: notice.SessionRevoked, UserID: *row.SubjectID, SessionID: &p.SessionID})
}
