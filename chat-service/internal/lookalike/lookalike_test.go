package lookalike

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/platform/names"

	"parley.chat/chat-service/internal/chattest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func open(t *testing.T) (*Backfill, *chattest.World) {
	t.Helper()
	w := chattest.Open(t)
	return New(w.DB, slog.New(slog.DiscardHandler)), w
}

// TestFill_oldestFirst checks that the oldest of several lookalike names gets the shared key, and
// each newer one a key of its own.
func TestFill_oldestFirst(t *testing.T) {
	t.Parallel()
	k, w := open(t)
	for i, name := range []string{"te\u200bam", "team", "t\u200beam"} {
		w.Exec("insert into channels (id, kind, name, created_at) values ($1, 'public', $2, now() - $3 * interval '1 day')",
			uuid.UUID{15: byte(i + 1)}.String(), name, i) // the last one is the oldest
	}
	w.Exec("insert into users (id, username, email, password_hash, created_at) values ($1, 'b0b', '1@example.com', '', now()), ($2, 'bob', '2@example.com', '', now() - interval '1 day')",
		uuid.UUID{15: 1}.String(), uuid.UUID{15: 2}.String())
	for range 2 { // the second time has no effect
		if err := k.Fill(t.Context()); err != nil {
			t.Fatal(err)
		}
		for table, key := range map[string]string{"channels": names.Key("team"), "users": names.Key("bob")} {
			keys := strings.Split(w.Text("select string_agg(lookalike, ',' order by created_at) from "+table), ",")
			ids := strings.Split(w.Text("select string_agg(id::text, ',' order by created_at) from "+table), ",")
			for i := range ids {
				want := key
				if i > 0 {
					want += " " + ids[i]
				}
				if i >= len(keys) || keys[i] != want {
					t.Errorf("%s: keys %q; want %q at position %d", table, keys, want, i)
				}
			}
		}
	}
}

// TestFill_batches checks that all names get their keys even if they do not fit into one batch.
// Deleted channels, and direct channels, which have no names, get none.
func TestFill_batches(t *testing.T) {
	t.Parallel()
	k, w := open(t)
	w.Exec(`insert into channels (kind, name) select 'private', 'room ' || n from generate_series(1, $1) n`, batchSize+1)
	w.Exec("insert into channels (kind, name, deleted_at) values ('public', 'gone', now())")
	w.Exec("insert into users (id, username, email, password_hash) select gen_random_uuid(), n, n || '@example.com', '' from unnest(array['ann', 'bob']) n")
	w.Exec("select open_direct_channel((select id from users where username = 'ann'), (select id from users where username = 'bob'))")
	if err := k.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := w.Text("select string_agg(distinct kind || case when deleted_at is null then '' else ' deleted' end, ', ') from channels where lookalike is null")
	if got != "direct, public deleted" {
		t.Errorf("without a key: %s; want the direct and the deleted channel", got)
	}
	if got := w.Text("select count(lookalike)::text from channels"); got != fmt.Sprint(batchSize+1) {
		t.Errorf("%s channels have a key, want %d", got, batchSize+1)
	}
}

// TestSet_renamed checks that a name that changes after it was read does not get the key of the old
// name, and that a key that another instance has stored stays.
func TestSet_renamed(t *testing.T) {
	t.Parallel()
	k, w := open(t)
	id := uuid.UUID{15: 1}
	w.Exec("insert into channels (id, kind, name) values ($1, 'public', 'new')", id.String())
	key := func() string {
		t.Helper()
		return w.Text("select coalesce(lookalike, '(none)') from channels")
	}
	for _, tt := range []struct{ name, key, want string }{
		{"old", "key of old", "(none)"}, {"new", "key of new", "key of new"}, {"new", "key of another instance", "key of new"},
	} {
		if err := k.set(t.Context(), "channels", "name", id, tt.name, tt.key); err != nil {
			t.Fatal(err)
		}
		if got := key(); got != tt.want {
			t.Errorf("after setting %q for %q: key %q, want %q", tt.key, tt.name, got, tt.want)
		}
	}
}

// TestRun checks that keys are computed immediately, and that Run ends with its context.
func TestRun(t *testing.T) {
	t.Parallel()
	k, w := open(t)
	w.Exec("insert into channels (kind, name) values ('public', 'room')")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	testkit.Until(t, testkit.Timeout, func() error {
		if got := w.Text("select coalesce(lookalike, '') from channels"); got != names.Key("room") {
			return fmt.Errorf("key %q", got)
		}
		return nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
