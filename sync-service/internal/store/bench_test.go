package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"parley.chat/shared-contracts/chat"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamtest"
)

// BenchmarkWrite compares ways to write a batch under the conditions of the service: one
// transaction that locks its partition, the table messages with its indexes, 200-byte bodies, 1,000
// channels. The figures are in testdata/bench.txt.
func BenchmarkWrite(b *testing.B) {
	for _, connections := range []int{1, 2} {
		for _, size := range []int{100, 1000, 5000} {
			for _, way := range []string{"values", "unnest", "temp", "pgxcopy", "copy"} {
				b.Run(fmt.Sprintf("%s/rows=%d/conns=%d", way, size, connections), func(b *testing.B) {
					benchWrite(b, way, size, connections)
				})
			}
		}
	}
}

func benchWrite(b *testing.B, way string, size, connections int) {
	s, pool := open(b)
	if err := s.Prepare(b.Context(), []int{0, 1}); err != nil {
		b.Fatal(err)
	}
	batches := benchBatches(b, b.N, size)
	b.ResetTimer()
	var wg sync.WaitGroup
	for c := range connections {
		wg.Go(func() {
			for i := c; i < len(batches); i += connections {
				batch := store.Batch{Partitions: []int{c}, Rows: batches[i], MaybeStored: way == "unnest"}
				if way == "copy" || way == "unnest" {
					if _, err := s.Store(b.Context(), batch); err != nil {
						b.Error(err)
					}
					continue
				}
				if err := pgx.BeginFunc(b.Context(), pool, func(tx pgx.Tx) error {
					if _, err := tx.Exec(b.Context(), "select from sync_watermarks where partition = $1 for update", c); err != nil {
						return err
					}
					return others[way](b.Context(), tx, batch.Rows)
				}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(0, "ns/op")
}

func benchBatches(b *testing.B, n, size int) [][]store.Row {
	channels := make([]chat.ChannelID, 1000)
	for i := range channels {
		channels[i] = chat.NewChannelID()
	}
	body := strings.Repeat("The quick brown fox. ", 10)[:200]
	batches := make([][]store.Row, n)
	for i := range batches {
		for k := range size {
			seq := i*size + k
			f := streamtest.Message(channels[seq%1000], int64(seq/1000+1), body)
			batches[i] = append(batches[i], rowOf(b, f))
		}
	}
	return batches
}

var names = []string{"channel_id", "seq", "id", "kind", "sender_id", "client_id", "target", "body", "data", "sent_at"}

func values(r *store.Row) []any {
	var data any
	if r.Data != nil {
		data = string(r.Data)
	}
	return []any{r.Channel.UUID, r.Seq, r.ID.UUID, string(r.Kind), r.Sender.UUID, r.ClientID, r.Target, r.Body, data, r.SentAt}
}

// others lists the alternatives that were not chosen.
var others = map[string]func(context.Context, pgx.Tx, []store.Row) error{
	"values": func(ctx context.Context, tx pgx.Tx, rows []store.Row) error {
		for len(rows) > 0 { // a statement takes at most 65,535 arguments
			n := min(len(rows), 5000)
			var sql strings.Builder
			sql.WriteString("insert into messages (" + strings.Join(names, ", ") + ") values ")
			var args []any
			for i := range rows[:n] {
				for k := range names {
					fmt.Fprintf(&sql, "%s$%d", map[bool]string{true: "(", false: ","}[k == 0], len(args)+k+1)
				}
				sql.WriteString(")" + map[bool]string{true: ",", false: ""}[i < n-1])
				args = append(args, values(&rows[i])...)
			}
			sql.WriteString(" on conflict do nothing")
			if _, err := tx.Exec(ctx, sql.String(), args...); err != nil {
				return err
			}
			rows = rows[n:]
		}
		return nil
	},
	"temp": func(ctx context.Context, tx pgx.Tx, rows []store.Row) error {
		if _, err := tx.Exec(ctx, "create temp table incoming (like messages including defaults) on commit drop"); err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"incoming"}, names, source(rows)); err != nil {
			return err
		}
		columns := strings.Join(names, ", ")
		_, err := tx.Exec(ctx, "insert into messages ("+columns+") select "+columns+" from incoming on conflict do nothing")
		return err
	},
	"pgxcopy": func(ctx context.Context, tx pgx.Tx, rows []store.Row) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"messages"}, names, source(rows))
		return err
	},
}

func source(rows []store.Row) pgx.CopyFromSource {
	return pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) { return values(&rows[i]), nil })
}
