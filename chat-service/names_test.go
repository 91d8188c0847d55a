package chatservice_test

import (
	"log/slog"
	"strings"
	"testing"

	"parley.chat/chat-service/internal/lookalike"
)

// TestNames_lookAlike checks that lookalike names count as equal where names must be unique,
// regardless of the characters they use.
func TestNames_lookAlike(t *testing.T) {
	w := newWorld(t)
	ann := w.signup("ann")
	w.create(ann, "caf\u00e9", "public")
	w.create(ann, "my team", "public")
	for _, name := range []string{"cafe\u0301", "my te\u200bam", "my\u00a0team", " my  team ", "MY TEAM", "rny team", "ｍｙ team"} {
		if p := w.post("/v1/channels", ann.Token, object{"name": name, "kind": "public"}).want(t, 409, "name_taken"); len(p.Errors) != 1 || p.Errors[0].Field != "name" {
			t.Errorf("%+q: %+v", name, p.Errors)
		}
	}
	for _, name := range []string{"my tеam", "\u200b", "\u202eteam"} { // the first name has a Cyrillic letter
		if p := w.post("/v1/channels", ann.Token, object{"name": name, "kind": "public"}).want(t, 422, "invalid_request"); len(p.Errors) != 1 || p.Errors[0].Field != "name" {
			t.Errorf("%+q: %+v", name, p.Errors)
		}
	}
	if c := w.create(ann, "cafe\u0301 \u00a0two\u200b", "private"); c.Name != "caf\u00e9 two" {
		t.Errorf("created with the name %+q", c.Name)
	}
	w.create(ann, strings.Repeat("ﷺ", 80), "public") // its lookalike key is too long for an index
	other := w.create(ann, "other", "public")
	w.do("PATCH", path(other.ID), ann, object{"name": "my\u2003team"}).want(t, 409, "name_taken")
	w.do("PATCH", path(other.ID), ann, object{"description": "the name stays"}).must(t, 200)

	account := func(name, email string) object {
		return object{"username": name, "email": email, "password": "correct horse battery"}
	}
	w.signup("bob10")
	w.post("/v1/signup", "", account("b0bl0", "b@example.com")).want(t, 409, "username_taken")
	for _, name := range []string{"admin", "Root", "supp0rt", "_system_", "everyone"} {
		w.post("/v1/signup", "", account(name, "r@example.com")).want(t, 422, "invalid_request")
	}
	w.post("/v1/signup", "", account("eve", "e\u0301ve@example.com")).must(t, 201)
	w.post("/v1/signup", "", account("fay", "\u00e9ve@example.com")).want(t, 409, "email_taken")
	w.post("/v1/signup", "", account("fay", "f\u200bay@example.com")).want(t, 422, "invalid_request")
	for _, name := range []string{"Аdmin", "Support", "pаypal"} {
		w.do("PATCH", "/v1/me", ann, object{"display_name": name}).want(t, 422, "invalid_request")
	}
	var me struct {
		DisplayName string `json:"display_name"`
	}
	w.do("PATCH", "/v1/me", ann, object{"display_name": "A\u200bnn  Lee"}).into(t, 200, &me)
	if me.DisplayName != "Ann Lee" {
		t.Errorf("display name %+q", me.DisplayName)
	}
}

// TestNames_fromEarlierRelease checks that lookalike names from an earlier release are kept, but
// new names cannot look like them.
func TestNames_fromEarlierRelease(t *testing.T) {
	w := newWorld(t)
	ann := w.signup("ann")
	for _, name := range []string{"team", "te\u200bam", "t\u200beam"} {
		w.Exec("insert into channels (kind, name) values ('public', $1)", name)
	}
	w.Exec("insert into users (id, username, email, password_hash) values (gen_random_uuid(), 'b0b', 'b@example.com', '')")
	fill := func() {
		if err := lookalike.New(w.DB, slog.New(slog.DiscardHandler)).Fill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	fill()
	fill()
	if n := w.Count("select count(*) from channels where lookalike is not null"); n != 3 {
		t.Errorf("%d channels have a key, want 3", n)
	}
	w.post("/v1/channels", ann.Token, object{"name": "tea\u200bm", "kind": "public"}).want(t, 409, "name_taken")
	w.post("/v1/signup", "", object{"username": "bob", "email": "c@example.com", "password": "correct horse battery"}).want(t, 409, "username_taken")
}
