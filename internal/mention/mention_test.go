package mention_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley.chat/internal/database"
	"parley.chat/internal/mention"
	"parley.chat/internal/testkit/pgtest"
	"parley.chat/shared-contracts/chat"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		body  string
		names string // a mention's meanings with |, mentions with spaces
		all   bool
	}{
		{"nobody here", "", false},
		{"@bob", "bob", false},
		{"hi @Bob, and @eve!", "bob eve", false},
		{"@bob @BOB @bob", "bob", false},
		{"tell @bob.", "bob.|bob", false},
		{"@b.o-b_1: x", "b.o-b_1", false},
		{"(@bob)\n@eve\t@dan", "bob eve dan", false},
		{"@channel look", "", true},
		{"@Channel. And @bob", "bob", true},
		{"@All @HERE. @_everyone_ @alls", "alls", false},
		{"@channels", "channels", false},
		{"ann@example.com", "", false},
		{"x@bob ü@bob 1@bob _@bob", "", false},
		{"https://x.org/@bob", "", false},
		{"@@bob", "", false},
		{"@bob@example.com", "", false},
		{"@", "", false},
		{"@ab @a", "", false},
		{"@bobü", "", false},
		{"„@bob“", "bob", false},
		{"@bob-", "bob-|bob", false},
		{"@...", "...", false},
		{"@" + strings.Repeat("x", 51), "", false},
		{"@" + strings.Repeat("x", 50) + ".", strings.Repeat("x", 50), false},
	} {
		p := mention.Parse(tt.body)
		var words []string
		for _, m := range p.Names {
			words = append(words, strings.Join(m, "|"))
		}
		if got := strings.Join(words, " "); got != tt.names || p.Everyone != tt.all {
			t.Errorf("Parse(%q) = %q, %v; want %q, %v", tt.body, got, p.Everyone, tt.names, tt.all)
		}
	}
}

func TestParse_bounded(t *testing.T) {
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "@user%d ", i)
	}
	if p := mention.Parse(b.String()); len(p.Names) != mention.MaxNames {
		t.Errorf("%d names, want %d", len(p.Names), mention.MaxNames)
	}
}

// FuzzParse: every meaning is a valid username in lower case that the body has behind an @.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"@bob", "a@b", "@channel", "@bob. @\xff", "é@eve", "@@", "@bob@eve", "@All", "@channel.", "@-Here"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		p := mention.Parse(body)
		for _, meanings := range p.Names {
			for _, name := range meanings {
				if err := chat.CheckUsername(name); err != nil {
					t.Fatalf("%q in %q: %v", name, body, err)
				}
				if !strings.Contains(strings.ToLower(body), "@"+name) {
					t.Fatalf("%q is not in %q", name, body)
				}
			}
		}
	})
}

// A body without an @ is most of what people send: it costs nothing.
func TestFind_nothingCostsNothing(t *testing.T) {
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
	pg := pgtest.Open(t)
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
