package stage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley.chat/loadtest/internal/stats"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// Table is a copy of the messages table's structure. It is filled as sync-service fills the
// messages table: each transaction is one COPY of messages from many channels. The number of
// messages per channel follows Zipf's law.
type Table struct {
	Rows int64

	name string
	db   *pgx.Conn
	dir  string // directory of its data
	ids  []chat.ChannelID
	seqs []int64
	rng  *rand.Rand
	zipf *rand.Zipf
	body string
	by   Person
}

// batch is the maximum number of rows that sync-service stores in one transaction.
const batch = 5000

// MakeTable creates an empty table with the columns, constraints and indexes of the messages table.
// If partitions is above 0, the table is partitioned by HASH (channel_id). The caller must call
// Drop.
func (s *Stage) MakeTable(ctx context.Context, partitions, channels, body int) (*Table, error) {
	rng := rand.New(rand.NewPCG(7, 8)) // a fixed seed, for the same distribution in every table
	t := &Table{
		name: "sized", dir: s.pg.DataDir(), seqs: make([]int64, channels), rng: rng,
		zipf: rand.NewZipf(rng, 1.1, 10, uint64(channels-1)), body: strings.Repeat("x", body), by: Person{ID: chat.NewUserID()},
	}
	for range channels {
		t.ids = append(t.ids, chat.NewChannelID())
	}
	statements := []string{"create table sized (like messages including all)"}
	if partitions > 0 {
		statements[0] += " partition by hash (channel_id)"
		for i := range partitions {
			statements = append(statements, fmt.Sprintf("create table sized_%d partition of sized for values with (modulus %d, remainder %d)", i, partitions, i))
		}
	}
	var err error
	if t.db, err = pgx.Connect(ctx, s.DatabaseURL()); err != nil {
		return nil, fmt.Errorf("create a table: %w", err)
	}
	for _, statement := range statements {
		if _, err := t.db.Exec(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("create a table: %w", err), t.db.Close(ctx))
		}
	}
	return t, nil
}

// Drop removes the table.
func (t *Table) Drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	_, err := t.db.Exec(ctx, "drop table sized")
	return errors.Join(err, t.db.Close(ctx))
}

// Fill stores n more rows, and returns the total duration of its transactions. It builds the next
// rows while the previous ones are being stored.
func (t *Table) Fill(ctx context.Context, n int64) (took time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan [][]any, 1)
	go t.make(ctx, n, batches)
	for rows := range batches {
		began := time.Now()
		err := pgx.BeginFunc(ctx, t.db, func(tx pgx.Tx) error {
			_, err := tx.CopyFrom(ctx, pgx.Identifier{t.name}, strings.Fields(messageColumns), pgx.CopyFromRows(rows))
			return err
		})
		if err != nil {
			cancel()
			for range batches { // until make has ended
			}
			return took, fmt.Errorf("fill a table: %w", err)
		}
		took += time.Since(began)
		t.Rows += int64(len(rows))
	}
	return took, ctx.Err()
}

// make builds n rows and sends them in batches on the given channel. Each batch is stored in one
// transaction.
func (t *Table) make(ctx context.Context, n int64, batches chan<- [][]any) {
	defer close(batches)
	for n > 0 && ctx.Err() == nil {
		rows := make([][]any, 0, min(n, batch))
		for range min(n, batch) {
			rows = append(rows, t.row())
		}
		n -= int64(len(rows))
		select {
		case batches <- rows:
		case <-ctx.Done():
		}
	}
}

// row generates the row for the next message, in a randomly chosen channel.
func (t *Table) row() []any {
	i, client := t.zipf.Uint64(), chat.NewClientID()
	t.seqs[i]++
	return row(&frame.Event{
		Type: event.Message, ChannelID: t.ids[i], Seq: t.seqs[i], ID: chat.NewEventID(), ClientID: &client,
		SenderID: t.by.ID, SenderName: t.by.name(), Body: t.body, SentAt: chat.Now(),
	})
}

// Pages reads n history pages of 50 messages at random positions, and returns a histogram of the
// durations. Channels are chosen with the same probabilities as for storing messages.
func (t *Table) Pages(ctx context.Context, n int) (took stats.Histogram, err error) {
	for range n {
		i := t.zipf.Uint64()
		before := t.rng.Int64N(t.seqs[i]+1) + 2
		began := time.Now()
		rows, err := t.db.Query(ctx, `select seq, id, sender_id, client_id, body, data, sent_at from sized
			where channel_id = $1 and seq < $2 and kind = 'message' order by seq desc limit 51`, t.ids[i].UUID, before)
		if err != nil {
			return took, fmt.Errorf("read a page: %w", err)
		}
		got := int64(0)
		var id, sender, client uuid.UUID
		var seq int64
		var body, data string
		var at time.Time
		_, err = pgx.ForEachRow(rows, []any{&seq, raw(&id), raw(&sender), raw(&client), &body, &data, &at}, func() error {
			got++
			return nil
		})
		if want := min(before-1, t.seqs[i], 51); err == nil && got != want {
			err = fmt.Errorf("it has %d messages, want %d", got, want)
		}
		if err != nil {
			return took, fmt.Errorf("read a page: %w", err)
		}
		took.Add(int64(time.Since(began)))
	}
	return took, nil
}

// raw converts an id to a type that pgx scans without reflection.
func raw(id *uuid.UUID) *[16]byte { return (*[16]byte)(id) }

// Settle makes PostgreSQL run a vacuum and a checkpoint now, so that neither runs during the
// measurement.
func (t *Table) Settle(ctx context.Context) error {
	for _, statement := range []string{"vacuum analyze sized", "checkpoint"} {
		if _, err := t.db.Exec(ctx, statement); err != nil {
			return fmt.Errorf("settle a table: %w", err)
		}
	}
	return nil
}

// Bytes returns the size in bytes of the table including its indexes, and of the indexes only.
func (t *Table) Bytes(ctx context.Context) (all, indexes int64, err error) {
	err = t.db.QueryRow(ctx, `select coalesce(sum(pg_total_relation_size(relid)), 0)::bigint, coalesce(sum(pg_indexes_size(relid)), 0)::bigint
		from pg_partition_tree('sized') where isleaf`).Scan(&all, &indexes)
	if err == nil && all == 0 { // not partitioned
		err = t.db.QueryRow(ctx, "select pg_total_relation_size('sized'), pg_indexes_size('sized')").Scan(&all, &indexes)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read the size of a table: %w", err)
	}
	return all, indexes, nil
}

// Room returns the free space, in bytes, on the disk where the table is stored.
func (t *Table) Room() (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(t.dir, &s); err != nil {
		return 0, fmt.Errorf("read the free disk space: %w", err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // the type differs on other systems
}
