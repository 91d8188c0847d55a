package history

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"

	"parley.chat/chat-service/internal/chattest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// plan is a node of the output of EXPLAIN.
type plan struct {
	Node    string  `json:"Node Type"`
	Index   string  `json:"Index Name"`
	Cond    string  `json:"Index Cond"`
	Rows    float64 `json:"Actual Rows"`
	Removed int     `json:"Rows Removed by Filter"`
	Hit     int     `json:"Shared Hit Blocks"`
	Read    int     `json:"Shared Read Blocks"`
	Plans   []plan  `json:"Plans"`
}

// TestPage_oneIndexRange reads pages of a channel with 900,000 rows, in a table of 1,000,000 rows.
// For every page, the query must be a single range scan of the primary key that reads no more rows
// than the page needs.
func TestPage_oneIndexRange(t *testing.T) {
	t.Parallel()
	const rows, others, limit = 900_000, 100_000, 51
	w := chattest.Open(t, "ann")
	channel, sender := w.Channel(chat.Public, "general", "ann"), w.ID("ann")
	n := 0
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	copied, err := w.Pool.CopyFrom(context.Background(), pgx.Identifier{"messages"},
		[]string{"channel_id", "seq", "id", "kind", "sender_id", "body", "sent_at"}, pgx.CopyFromFunc(func() ([]any, error) {
			if n++; n > rows+others {
				return nil, nil
			}
			c, seq := channel.UUID, int64(n)
			if n > rows { // a thousand small channels
				seq = int64((n-rows-1)%100 + 1)
				c = uuid.UUID{0: 1, 14: byte((n - rows - 1) / 100 >> 8), 15: byte((n - rows - 1) / 100)}
			}
			id := uuid.UUID{6: 0x70, 8: 0x80, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}
			return []any{[16]byte(c), seq, [16]byte(id), string(event.Message), [16]byte(sender.UUID), "something that somebody said", at}, nil
		}))
	if err != nil || copied != rows+others {
		t.Fatalf("copied %d rows, %v", copied, err)
	}
	w.Exec("vacuum analyze messages")
	s := &Service{cfg: Config{DB: w.DB}}
	for name, sp := range map[string]span{
		"newest":        {before: math.MaxInt64},
		"in the middle": {before: rows / 2},
		"oldest":        {before: math.MaxInt64, oldest: true},
		"after a seq":   {after: rows / 3, before: math.MaxInt64, oldest: true},
		"at the end":    {after: rows - 10, before: math.MaxInt64, oldest: true},
		"the log":       {after: rows / 2, before: math.MaxInt64, oldest: true, kind: ""},
	} {
		if name != "the log" {
			sp.kind = event.Message
		}
		var raw string
		err := w.DB.NewRaw("explain (analyze, buffers, format json) "+s.selectRows(channel, sp, limit).String()).Scan(context.Background(), &raw)
		if err != nil {
			t.Fatal(err)
		}
		var explained []struct{ Plan plan }
		if err := json.Unmarshal([]byte(raw), &explained); err != nil {
			t.Fatal(err)
		}
		p := explained[0].Plan
		if p.Node != "Limit" || len(p.Plans) != 1 {
			t.Errorf("%s: %s", name, raw)
			continue
		}
		scan := p.Plans[0]
		if scan.Node != "Index Scan" || scan.Index != "messages_pkey" || !strings.Contains(scan.Cond, "channel_id") || !strings.Contains(scan.Cond, "seq") {
			t.Errorf("%s is not a range scan of the primary key: %s", name, raw)
		}
		if scan.Rows > limit || scan.Removed > 0 || p.Hit+p.Read > 20 {
			t.Errorf("%s reads %v rows and %d filtered rows from %d blocks", name, scan.Rows, scan.Removed, p.Hit+p.Read)
		}
	}
	// Explains the complete page query with a generic plan, as a prepared statement would get.
	conn, err := w.Pool.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for name, tt := range map[string]struct {
		query         string
		after, before int64
	}{
		"newest": {newestSQL, 0, math.MaxInt64}, "in the middle": {newestSQL, 0, rows / 2}, "after a seq": {oldestSQL, rows / 3, math.MaxInt64},
	} {
		for _, prepare := range []string{"set plan_cache_mode = force_generic_plan", "deallocate all", "prepare page (uuid, uuid, int, bigint, bigint, bigint) as " + tt.query} {
			if _, err := conn.Exec(context.Background(), prepare); err != nil {
				t.Fatal(err)
			}
		}
		var raw string
		err := conn.QueryRow(context.Background(), fmt.Sprintf("explain (analyze, buffers, format json) execute page ('%s', '%s', 0, %d, %d, %d)",
			channel, sender, tt.after, tt.before, limit), pgx.QueryExecModeSimpleProtocol).Scan(&raw)
		if err != nil {
			t.Fatal(err)
		}
		var explained []struct{ Plan plan }
		if err := json.Unmarshal([]byte(raw), &explained); err != nil {
			t.Fatal(err)
		}
		scan := explained[0].Plan.find("messages_pkey")
		if scan == nil || scan.Rows != limit || scan.Removed > 0 || scan.Hit+scan.Read > 20 {
			t.Errorf("%s is not a range scan of the primary key: %s", name, raw)
		}
	}
}

// find returns the node that uses an index, or nil.
func (p *plan) find(index string) *plan {
	if p.Index == index {
		return p
	}
	for i := range p.Plans {
		if found := p.Plans[i].find(index); found != nil {
			return found
		}
	}
	return nil
}
