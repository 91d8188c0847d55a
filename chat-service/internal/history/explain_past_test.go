package history

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/chattest"
)

// pastRows stores a million events in groups of six: two messages, a reaction to the first and an
// edit of it, then a reaction and an edit to the messages of the hundredth group before. So every
// message of a page has changes on both sides of the point at the end of that page. The id of a
// message contains its seq.
const pastRows = `insert into messages (channel_id, seq, id, kind, sender_id, target, body, data, sent_at)
	select $1, n, ` + pastID + `, (array['edit', 'message', 'message', 'reaction', 'edit', 'reaction'])[n % 6 + 1], $2,
		case n % 6 when 3 then ` + pastTarget + `n - 2), 12, '0'))::uuid when 4 then ` + pastTarget + `n - 3), 12, '0'))::uuid
			when 5 then ` + pastTarget + `n - 604), 12, '0'))::uuid when 0 then ` + pastTarget + `n - 604), 12, '0'))::uuid end,
		case when n % 6 in (3, 5) then '' else 'something that somebody said' end,
		case when n % 6 in (3, 5) then '{"emoji": "👍"}'::jsonb end, '2026-01-02'::timestamptz + n * interval '1 second'
	from generate_series(700, 1000699) n`

const (
	pastID     = `('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid`
	pastTarget = `('00000000-0000-7000-8000-' || lpad(to_hex(`
)

// TestPast_costsLittleMore compares the statements of a page as of the middle of a million events
// with those of the plain page of the same messages. The page as of the middle may read at most
// three times as many blocks. In this test, every message was changed before and after the point,
// and the reader joined after the point. It also checks that finding the point of a time, and the
// messages that a list of changes has already contained, reads few blocks.
func TestPast_costsLittleMore(t *testing.T) {
	t.Parallel()
	const limit, middle = 51, 500_003
	w := chattest.Open(t, "ann", "bob")
	channel := w.Channel(chat.Public, "general", "ann", "bob")
	w.Exec("alter table messages set unlogged")
	w.Exec(pastRows, channel.String(), w.ID("ann").String())
	w.Exec(`insert into message_states (channel_id, message_id, edit_seq, edited_at, body)
		select channel_id, target, max(seq), max(sent_at), max(body) from messages where kind = 'edit' and seq > 450000 and seq < 550000 group by 1, 2`)
	w.Exec(`insert into message_reactions (channel_id, message_id, emoji, user_id, seq, removed, reacted_at)
		select channel_id, target, '👍', sender_id, max(seq), false, max(sent_at) from messages where kind = 'reaction' and seq > 450000 and seq < 550000 group by 1, 2, 3, 4`)
	w.Exec("update channel_members set joined_seq = 1000000")
	for _, table := range []string{"messages", "message_states", "message_reactions", "channel_members"} {
		w.Exec("vacuum analyze " + table)
	}
	s := &Service{cfg: Config{DB: w.DB}}
	var messages []struct {
		ID chat.EventID `bun:"id,type:uuid"`
	}
	err := w.DB.NewRaw("select id from messages where channel_id = ? and kind = 'message' and seq <= ? order by seq desc limit ?", channel, middle, limit).Scan(t.Context(), &messages)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]chat.EventID, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	conn, err := w.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, prepare := range []string{"set plan_cache_mode = force_generic_plan", "prepare page (uuid, uuid, int, bigint, bigint, bigint) as " + newestSQL, "prepare point (uuid, timestamptz, bigint, bigint) as " + seqAtSQL} {
		if _, err := conn.Exec(t.Context(), prepare); err != nil {
			t.Fatal(err)
		}
	}
	blocks := func(sql string) int {
		p := explain(t, conn, sql)
		t.Logf("%d blocks: %.60s", p.Hit+p.Read, sql)
		return p.Hit + p.Read
	}
	plain := blocks(fmt.Sprintf("execute page ('%s', '%s', 0, 0, %d, %d)", channel, w.ID("bob"), middle+1, limit))
	earlier := s.selectEarlier(channel, ids, middle).String()
	past := plain + blocks(earlier) + blocks(s.selectNewestEdits(channel, ids, 1_000_000).String()) +
		blocks(s.selectMembership(channel, w.ID("bob")).String())
	if p := explain(t, conn, earlier); p.find("messages_changes_idx") == nil || p.find("messages_pkey") != nil {
		t.Errorf("earlier changes are not found by the index of changes: %+v", p)
	}
	t.Logf("a plain page reads %d blocks, a page as of a point %d: %.2f times as many", plain, past, float64(past)/float64(plain))
	if past > 3*plain {
		t.Errorf("a page as of a point reads %d blocks, more than three times the %d of a plain page", past, plain)
	}
	changed := s.selectChanged(channel, ids, 1000, middle).String()
	if n, p := blocks(changed), explain(t, conn, changed); n > 20*limit || p.find("messages_changes_idx") == nil {
		t.Errorf("%d blocks are read to find out which messages of a page were changed before: %+v", n, p)
	}
	if n := blocks(fmt.Sprintf("execute point ('%s', '2026-01-06T12:00:00Z', 1000699, %d)", channel, 1<<19)); n > 400 {
		t.Errorf("%d blocks are read to find the point of a time", n)
	}
	if n := blocks(fmt.Sprintf("execute page ('%s', '%s', 0, 0, %d, %d)", channel, w.ID("bob"), math.MaxInt64, limit)); n > 2*plain {
		t.Errorf("the newest page reads %d blocks, a page in the middle %d: the comparison is not fair", n, plain)
	}
}

// explain runs a statement and returns its plan.
func explain(t *testing.T, conn *pgxpool.Conn, sql string) plan {
	t.Helper()
	var raw string
	err := conn.QueryRow(context.Background(), "explain (analyze, buffers, format json) "+sql, pgx.QueryExecModeSimpleProtocol).Scan(&raw)
	if err != nil {
		t.Fatalf("explain %s: %v", sql, err)
	}
	var explained []struct{ Plan plan }
	if err := json.Unmarshal([]byte(raw), &explained); err != nil {
		t.Fatal(err)
	}
	return explained[0].Plan
}
