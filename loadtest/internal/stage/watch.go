package stage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"parley.chat/loadtest/internal/stats"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

// How often a Watch looks.
const (
	lagEvery = time.Second
	rowEvery = 10 * time.Millisecond
)

// Mark is a message that was acknowledged, of which a Watch finds out when its row is there.
type Mark struct {
	Channel chat.ChannelID
	Seq     int64
	Acked   time.Time
}

// Watch looks at what the persister does, beside a load. Once a second it asks Redis how many entries
// wait to be stored, and every 10 ms PostgreSQL which of the marked messages other sessions can see: so a
// time from ack to row is up to 10 ms, and a query, too long.
//
// Watching is one goroutine's; Mark may be called meanwhile. The figures are read when it has ended.
type Watch struct {
	Lags    []int64         // entries of the streams of events that were not stored, each second
	Stored  stats.Histogram // from ack to row
	Skipped int64           // marks that came faster than they were looked at

	rdb   *redis.Client
	db    *pgx.Conn
	marks chan Mark
	open  []Mark // not seen in the database yet
	end   context.CancelFunc
	ended chan error
}

// maxMarks bounds what waits to be looked at.
const maxMarks = 4096

// Watch begins to look. Stop ends it.
func (s *Stage) Watch(ctx context.Context) (*Watch, error) {
	opts, err := redis.ParseURL(s.RedisURL())
	if err != nil {
		return nil, fmt.Errorf("watch the persister: %w", err)
	}
	db, err := pgx.Connect(ctx, s.DatabaseURL())
	if err != nil {
		return nil, fmt.Errorf("watch the persister: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &Watch{rdb: redis.NewClient(opts), db: db, marks: make(chan Mark, maxMarks), end: cancel, ended: make(chan error, 1)}
	go func() { w.ended <- w.run(ctx) }()
	return w, nil
}

// Mark asks for the time of a message's row. It does not block.
func (w *Watch) Mark(m Mark) {
	select {
	case w.marks <- m:
	default:
		w.Skipped++
	}
}

// Stop ends the watching.
func (w *Watch) Stop() error {
	w.end()
	err := <-w.ended
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, w.db.Close(context.Background()), w.rdb.Close())
}

func (w *Watch) run(ctx context.Context) error {
	lags, rows := time.NewTicker(lagEvery), time.NewTicker(rowEvery)
	defer lags.Stop()
	defer rows.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-lags.C:
			n, err := waiting(ctx, w.rdb, rediskey.Stream)
			if err != nil {
				return err
			}
			w.Lags = append(w.Lags, n)
		case m := <-w.marks:
			w.open = append(w.open, m)
		case <-rows.C:
			if err := w.look(ctx); err != nil {
				return err
			}
		}
	}
}

// look asks which of the open marks have their row.
func (w *Watch) look(ctx context.Context) error {
	if len(w.open) == 0 {
		return nil
	}
	channels, seqs := make([]uuid.UUID, len(w.open)), make([]int64, len(w.open))
	for i, m := range w.open {
		channels[i], seqs[i] = m.Channel.UUID, m.Seq
	}
	// Each by itself: a join of a table that has grown faster than its statistics reads all of it.
	rows, err := w.db.Query(ctx, `select k.n from unnest($1::uuid[], $2::bigint[]) with ordinality k (channel, seq, n)
		where (select true from messages m where m.channel_id = k.channel and m.seq = k.seq)`, channels, seqs)
	if err != nil {
		return fmt.Errorf("look for rows: %w", err)
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return fmt.Errorf("look for rows: %w", err)
	}
	now := time.Now()
	for _, n := range there {
		w.Stored.Add(int64(now.Sub(w.open[n-1].Acked)))
		w.open[n-1].Seq = 0
	}
	still := w.open[:0]
	for _, m := range w.open {
		if m.Seq != 0 {
			still = append(still, m)
		}
	}
	w.open = still
	return nil
}

// waiting returns how many entries of the partitions' streams are not stored: those that were added less
// those that the group has read, and those that it has read and not acknowledged.
func waiting(ctx context.Context, rdb *redis.Client, stream func(int) string) (n int64, err error) {
	pipe := rdb.Pipeline()
	infos, groups := make([]*redis.XInfoStreamCmd, partitions), make([]*redis.XInfoGroupsCmd, partitions)
	for p := range partitions {
		infos[p], groups[p] = pipe.XInfoStream(ctx, stream(p)), pipe.XInfoGroups(ctx, stream(p))
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for p := range partitions {
		if err := errors.Join(infos[p].Err(), groups[p].Err()); err != nil {
			if strings.Contains(err.Error(), "no such key") {
				continue // nothing was added
			}
			return 0, fmt.Errorf("ask how much waits to be stored: %w", err)
		}
		n += infos[p].Val().EntriesAdded
		for _, g := range groups[p].Val() {
			if g.Name == rediskey.ConsumerGroup {
				n += g.Pending - g.EntriesRead
			}
		}
	}
	return n, nil
}

// AwaitStored waits until everything that Redis has is stored, receipts too, but no longer than patience.
// It returns how many entries are not.
func (s *Stage) AwaitStored(ctx context.Context, patience time.Duration) (left int64, err error) {
	opts, err := redis.ParseURL(s.RedisURL())
	if err != nil {
		return 0, fmt.Errorf("wait for the persister: %w", err)
	}
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; {
		events, err := waiting(ctx, rdb, rediskey.Stream)
		if err != nil {
			return 0, err
		}
		receipts, err := waiting(ctx, rdb, rediskey.Receipts)
		if left = events + receipts; err != nil || left == 0 || time.Now().After(end) {
			return left, err
		}
		select {
		case <-ctx.Done():
			return left, fmt.Errorf("wait for the persister: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
