package mention_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/eventlog/mention"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// Most bodies contain no @, so they must not cause a query.
func TestFind_noMentionNoQuery(t *testing.T) {
	f := mention.FinderBy(func(context.Context, []mention.Name) ([]chat.UserID, error) {
		t.Error("names were looked up")
		return nil, nil
	})
	channel := chat.NewChannelID()
	body := strings.Repeat("hello to all of you ", 50)
	if got := testing.AllocsPerRun(100, func() {
		if found, err := f.Find(context.Background(), channel, body); found != nil || err != nil {
			t.Fatal(found, err)
		}
	}); got > 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	pg := schematest.Open(t)
	admin := pg.Pool(t)
	for _, role := range []string{"parley_chat", "parley_ws"} {
		db, err := database.Open(pg.URL, database.Options{Role: role, Inline: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		channel := chat.NewChannelID()
		exec := func(sql string, args ...any) {
			t.Helper()
			if _, err := admin.Exec(context.Background(), sql, args...); err != nil {
				t.Fatal(err)
			}
		}
		exec("insert into channels (id, kind, name) values ($1, 'private', 'x')", channel.String())
		exec("delete from users")
		ids := map[string]chat.UserID{}
		for _, name := range []string{"Bob", "bob.", "eve", "gone", "stranger"} {
			ids[name] = chat.NewUserID()
			exec("insert into users (id, username, email, password_hash) values ($1, $2, $2, '')", ids[name].String(), name)
			if name != "stranger" {
				exec("insert into channel_members (channel_id, user_id) values ($1, $2)", channel.String(), ids[name].String())
			}
		}
		exec("update users set deleted_at = now() where username = 'gone'")
		for body, want := range map[string][]chat.UserID{
			"hello":                           nil,
			"@nobody and @stranger and @gone": nil,
			"@eve @BOB @eve":                  {ids["eve"], ids["Bob"]},
			"ask @bob.":                       {ids["bob."]},
			"ask @eve.":                       {ids["eve"]},
			"@channel @eve":                   {mention.All(channel), ids["eve"]},
			"@o'; drop table users; --":       nil,
		} {
			got, err := mention.NewFinder(db).Find(t.Context(), channel, body)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: Find(%q) = %v, %v; want %v", role, body, got, err, want)
			}
		}
	}
}
