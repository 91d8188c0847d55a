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

// Intervals at which a Watch polls.
const (
	lagEvery = time.Second
	rowEvery = 10 * time.Millisecond
)

// Mark identifies an acknowledged message. A Watch measures the time until its row is visible.
type Mark struct {
	Channel chat.ChannelID
	Seq     int64
	Acked   time.Time
}

// Watch observes sync-service while a load is running. Once per second, it asks Redis for the
// number of entries that are not stored yet. Every 10 ms, it queries PostgreSQL for the rows of
// marked messages. A measured time from ack to row therefore exceeds the actual time by up to 10 ms
// plus the duration of one query.
//
// A goroutine polls the servers; Mark may be called while it is running. Read the results only
// after Stop has returned.
type Watch struct {
	Lags    []int64         // number of entries not stored yet, sampled once per second
	Stored  stats.Histogram // from ack to row
	Skipped int64           // number of marks that were dropped because the queue was full

	rdb   *redis.Client
	db    *pgx.Conn
	marks chan Mark
	open  []Mark // not seen in the database yet
	end   context.CancelFunc
	ended chan error
}

// maxMarks limits the queue of marks.
const maxMarks = 4096

// Watch starts measuring how far sync-service lags behind the gateways. The caller must call Stop.
func (s *Stage) Watch(ctx context.Context) (*Watch, error) {
	opts, err := redis.ParseURL(s.RedisURL())
	if err != nil {
		return nil, fmt.Errorf("watch sync-service: %w", err)
	}
	db, err := pgx.Connect(ctx, s.DatabaseURL())
	if err != nil {
		return nil, fmt.Errorf("watch sync-service: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &Watch{rdb: redis.NewClient(opts), db: db, marks: make(chan Mark, maxMarks), end: cancel, ended: make(chan error, 1)}
	go func() { w.ended <- w.run(ctx) }()
	return w, nil
}

// Mark makes the Watch measure the time until a message's row is visible in PostgreSQL. It does not
// block.
func (w *Watch) Mark(m Mark) {
	select {
	case w.marks <- m:
	default:
		w.Skipped++
	}
}

// Stop stops watching.
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
			if err := w.poll(ctx); err != nil {
				return err
			}
		}
	}
}

// poll queries PostgreSQL for the rows of the marked messages that it has not found yet, and
// records the times of the rows that it finds.
func (w *Watch) poll(ctx context.Context) error {
	if len(w.open) == 0 {
		return nil
	}
	channels, seqs := make([]uuid.UUID, len(w.open)), make([]int64, len(w.open))
	for i, m := range w.open {
		channels[i], seqs[i] = m.Channel.UUID, m.Seq
	}
	// Look up each row separately. PostgreSQL would execute a join by reading the whole table,
	// because the table grows faster than its statistics are updated.
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

// waiting returns the number of stream entries, in all partitions, that are not stored: entries
// that the consumer group has not read, plus entries that it has read but not acknowledged.
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
			return 0, fmt.Errorf("read the backlog: %w", err)
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

// AwaitStored waits until all events and receipts in Redis are stored, but no longer than timeout.
// It returns the number of entries that are still not stored.
func (s *Stage) AwaitStored(ctx context.Context, timeout time.Duration) (left int64, err error) {
	opts, err := redis.ParseURL(s.RedisURL())
	if err != nil {
		return 0, fmt.Errorf("wait for sync-service: %w", err)
	}
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(timeout); ; {
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
			return left, fmt.Errorf("wait for sync-service: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
