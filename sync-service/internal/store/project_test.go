package store_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamtest"
)

// randomHistory returns the events of a channel in which users send, edit, delete and react at
// random. Some events refer to messages that do not exist, and some are tombstones.
func randomHistory(t testing.TB, rng *rand.Rand, ch chat.ChannelID, length int) (history []frame.Event, rows []store.Row) {
	t.Helper()
	users := []chat.UserID{chat.NewUserID(), chat.NewUserID()}
	targets := []chat.EventID{chat.NewEventID()} // never sent
	for seq := int64(1); seq <= int64(length); seq++ {
		e := streamtest.Message(ch, seq, fmt.Sprint("text ", seq))
		e.SenderID = users[rng.IntN(2)]
		target := targets[rng.IntN(len(targets))]
		switch roll := rng.IntN(10); {
		case roll < 3:
			targets = append(targets, e.ID)
		case roll < 6:
			e.Type, e.MessageID, e.Mentions = event.Edit, &target, users[:rng.IntN(3)]
		case roll == 6:
			e.Type, e.MessageID, e.Body = event.Delete, &target, ""
		default:
			e.Type, e.MessageID, e.Body = event.Reaction, &target, ""
			e.Emoji, e.Remove = []string{"👍", "🎉"}[rng.IntN(2)], rng.IntN(3) == 0
		}
		if rng.IntN(15) == 0 {
			tombstone, _ := store.FailedRow(streamtest.Entry(t, e), "broken", e.SentAt.Time)
			rows = append(rows, tombstone)
			if rng.IntN(2) == 0 {
				continue // it stays deleted
			}
		}
		history = append(history, e)
		rows = append(rows, rowOf(t, e))
	}
	return history, rows
}

// model computes the expected projections and log by processing the history in order.
func model(history []frame.Event) []string {
	type state struct {
		edit, deletion *frame.Event
		stored         bool
	}
	states := map[chat.EventID]*state{}
	reactions := map[string]string{}
	of := func(id chat.EventID) *state {
		if states[id] == nil {
			states[id] = &state{}
		}
		return states[id]
	}
	for i := range history {
		e := &history[i]
		switch e.Type {
		case event.Message:
			of(e.ID).stored = true
		case event.Edit:
			of(*e.MessageID).edit = e
		case event.Delete:
			if s := of(*e.MessageID); s.deletion == nil {
				s.deletion = e
			}
		case event.Reaction:
			reactions[fmt.Sprintf("reaction %s %s %s", e.MessageID, e.SenderID, e.Emoji)] = fmt.Sprintf("%d %v", e.Seq, e.Remove)
		}
	}
	var lines []string
	for id, s := range states {
		if s.edit == nil && s.deletion == nil {
			continue
		}
		line := fmt.Sprint("state ", id)
		if s.edit != nil {
			line += fmt.Sprint(" edit ", s.edit.Seq)
			if s.deletion == nil {
				line += fmt.Sprintf(" %q mentions %d", s.edit.Body, len(s.edit.Mentions))
			}
		}
		if s.deletion != nil {
			line += fmt.Sprintf(" deleted %d %s", s.deletion.Seq, s.deletion.SenderID)
			if !s.stored {
				line += " waiting"
			}
		}
		lines = append(lines, line)
	}
	for k, v := range reactions {
		lines = append(lines, k+" "+v)
	}
	for i := range history {
		e := &history[i]
		body := e.Body
		target := e.ID
		if e.Type == event.Edit {
			target = *e.MessageID
		}
		if s := states[target]; s != nil && s.deletion != nil {
			body = ""
		}
		lines = append(lines, fmt.Sprintf("log %d %s %q", e.Seq, e.Type, body))
	}
	slices.Sort(lines)
	return lines
}

// projected reads the actual projections and log from PostgreSQL.
func projected(t testing.TB, pool *pgxpool.Pool, ch chat.ChannelID) []string {
	t.Helper()
	var lines []string
	query := func(sql string, line func(pgx.Rows) (string, error)) {
		rows, err := pool.Query(t.Context(), sql, ch.UUID)
		if err != nil {
			t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (string, error) { return line(rows) })
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, found...)
	}
	query(`select message_id::text, edit_seq, coalesce(body, ''), coalesce(jsonb_array_length(mentions), 0),
		coalesce(delete_seq, 0), coalesce(deleted_by::text, ''), waiting, body is null from message_states where channel_id = $1`,
		func(r pgx.Rows) (string, error) {
			var id, body, by string
			var edit, deletion int64
			var mentions int
			var waiting, null bool
			err := r.Scan(&id, &edit, &body, &mentions, &deletion, &by, &waiting, &null)
			line := "state " + id
			if edit > 0 {
				line += fmt.Sprint(" edit ", edit)
			}
			if !null {
				line += fmt.Sprintf(" %q mentions %d", body, mentions)
			}
			if deletion > 0 {
				line += fmt.Sprintf(" deleted %d %s", deletion, by)
			}
			if waiting {
				line += " waiting"
			}
			return line, err
		})
	query(`select message_id::text, user_id::text, emoji, seq, removed from message_reactions where channel_id = $1`,
		func(r pgx.Rows) (string, error) {
			var id, user, emoji string
			var seq int64
			var removed bool
			err := r.Scan(&id, &user, &emoji, &seq, &removed)
			return fmt.Sprintf("reaction %s %s %s %d %v", id, user, emoji, seq, removed), err
		})
	query(`select seq, kind, body from messages where channel_id = $1 and kind <> 'failed'`, func(r pgx.Rows) (string, error) {
		var seq int64
		var kind, body string
		err := r.Scan(&seq, &kind, &body)
		return fmt.Sprintf("log %d %s %q", seq, kind, body), err
	})
	slices.Sort(lines)
	return lines
}

// TestStore_projectionsDoNotDependOnOrder stores random histories in random orders, with
// repetitions, by two concurrent transactions, and compares the projections with a simple model.
func TestStore_projectionsDoNotDependOnOrder(t *testing.T) {
	t.Parallel()
	s, pool := open(t)
	for round := range 60 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 0))
		ch := chat.NewChannelID()
		history, rows := randomHistory(t, rng, ch, 5+rng.IntN(40))
		var wg sync.WaitGroup
		errs := make([]error, 2)
		// Each of the two transactions stores a random part of the events in random order, and some
		// of them twice; together they store all events.
		for half := range 2 {
			mine := slices.Clone(rows)
			rng.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			var sizes []int
			for left := len(mine); left > 0; left -= sizes[len(sizes)-1] {
				sizes = append(sizes, min(left, 1+rng.IntN(12)))
			}
			seen := rng.IntN(2) == 0
			wg.Go(func() {
				for _, n := range sizes {
					if _, err := s.Store(t.Context(), store.Batch{Partitions: []int{2}, Rows: mine[:n], MaybeStored: seen}); err != nil {
						errs[half] = err
						return
					}
					mine = mine[n:]
				}
			})
		}
		wg.Wait()
		if err := cmp.Or(errs[0], errs[1]); err != nil {
			t.Fatal(err)
		}
		compare(t, fmt.Sprintf("round %d, seed %d", round, seed), projected(t, pool, ch), model(history))
	}
}

func compare(t testing.TB, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	count := map[string]int{}
	for _, l := range got {
		count[l]++
	}
	for _, l := range want {
		count[l]--
	}
	maps.DeleteFunc(count, func(_ string, n int) bool { return n == 0 })
	var diff strings.Builder
	for _, l := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(&diff, "%+d %s\n", count[l], l)
	}
	t.Fatalf("%s: (+ unexpected, - missing)\n%s", what, diff.String())
}

// TestStore_deletionRemovesText checks that a deletion removes the text of a message, no matter in
// which order, in how many batches and on which of the two code paths the events are stored.
func TestStore_deletionRemovesText(t *testing.T) {
	t.Parallel()
	s, pool := open(t)
	for _, seen := range []bool{false, true} {
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
			ch := chat.NewChannelID()
			m := streamtest.Message(ch, 1, "secret")
			edit, deletion := streamtest.Message(ch, 2, "secret too"), streamtest.Message(ch, 3, "")
			edit.Type, edit.MessageID = event.Edit, &m.ID
			deletion.Type, deletion.MessageID = event.Delete, &m.ID
			rows := []store.Row{rowOf(t, m), rowOf(t, edit), rowOf(t, deletion)}
			for _, i := range order {
				mustStore(t, s, seen, rows[i])
			}
			mustStore(t, s, seen, rows...)
			if got, want := log(t, pool, ch), []string{"1 message", "2 edit", "3 delete"}; !slices.Equal(got, want) {
				t.Errorf("order %v, seen %v: the log reads %q, want %q", order, seen, got, want)
			}
		}
	}
}
