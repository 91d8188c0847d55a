package migrations_test

import (
	"fmt"
	"sync"
	"testing"

	"parley.chat/shared-migrations/schematest"
)

// TestMemberCount checks that the count equals the number of rows, even if members join and leave
// several channels concurrently.
func TestMemberCount(t *testing.T) {
	t.Parallel()
	pool := schematest.Open(t).PoolAs(t, "parley_chat")
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	exec("insert into channels (kind, name) select 'unlisted', n::text from generate_series(1, 5) n")
	exec(`insert into users (id, username, email, password_hash)
		select gen_random_uuid(), 'user-' || n, n::text, '' from generate_series(1, 40) n`)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				who := fmt.Sprint("user-", i*5+j%5+1)
				exec(`insert into channel_members (channel_id, user_id) select c.id, u.id from channels c, users u where u.username = $1
					on conflict do nothing`, who)
				if j%3 == 0 { // use a different order of the channels
					exec(`delete from channel_members m using users u where u.id = m.user_id and u.username = $1`, who)
				}
			}
		})
	}
	wg.Wait()
	var wrong, members int
	err := pool.QueryRow(t.Context(), `select count(*) filter (where member_count <> n), sum(n)
		from (select c.member_count, (select count(*) from channel_members m where m.channel_id = c.id) as n from channels c) x`).Scan(&wrong, &members)
	if err != nil || wrong != 0 || members == 0 {
		t.Errorf("%d channels with a wrong count of %d members, %v", wrong, members, err)
	}
	exec("delete from channels")
}

// TestDirectBlocked checks the function that reports, to services that may not read contacts,
// whether a direct channel is blocked.
func TestDirectBlocked(t *testing.T) {
	t.Parallel()
	db := schematest.Open(t)
	admin := db.Pool(t)
	users(t, admin)
	var channel string
	if err := admin.QueryRow(t.Context(), "select channel_id from open_direct_channel($1, $2)", ann, bob).Scan(&channel); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		sql  string
		want bool
	}{
		{"select 1", false},
		{"insert into contacts (user_id, contact_id, state) values ('" + ann + "', '" + bob + "', 'requested'), ('" + ann + "', '" + eve + "', 'blocked')", false},
		{"update contacts set state = 'blocked' where contact_id = '" + bob + "'", true},
		{"update contacts set user_id = '" + bob + "', contact_id = '" + ann + "' where contact_id = '" + bob + "'", true},
		{"delete from contacts where user_id = '" + bob + "'", false},
	} {
		if _, err := admin.Exec(t.Context(), step.sql); err != nil {
			t.Fatalf("%s: %v", step.sql, err)
		}
		for _, role := range []string{"parley_ws", "parley_chat"} {
			var got bool
			if err := db.PoolAs(t, role).QueryRow(t.Context(), "select direct_blocked($1)", channel).Scan(&got); err != nil || got != step.want {
				t.Errorf("%s, after %s: %v, %v; want %v", role, step.sql, got, err, step.want)
			}
		}
	}
	if _, err := db.PoolAs(t, "parley_sync").Exec(t.Context(), "select direct_blocked($1)", channel); sqlState(err) != insufficientPrivilege {
		t.Errorf("parley_sync: %v, want permission denied", err)
	}
}
