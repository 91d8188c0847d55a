package chatservice_test

import "testing"

// TestMentionAll checks that, if only admins may mention all members, @channel from a plain member
// mentions nobody, while @username works as usual.
func TestMentionAll(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	mentioned := func(by user) string {
		t.Helper()
		w.do("POST", path(c.ID)+"/messages", by, object{"body": "@channel and @ann"}).must(t, 201)
		events := w.Events(c.ID)
		names := ""
		for _, id := range events[len(events)-1].Mentions {
			switch id.String() {
			case c.ID.String():
				names += "all "
			case ann.ID.String():
				names += "ann "
			}
		}
		return names
	}
	if got := mentioned(bob); got != "all ann " {
		t.Errorf("everyone may mention all: bob mentioned %q", got)
	}
	w.do("PATCH", path(c.ID), bob, object{"mention_all": "admins"}).want(t, 403, "forbidden")
	var got struct {
		MentionAll string `json:"mention_all"`
	}
	w.do("PATCH", path(c.ID), ann, object{"mention_all": "admins"}).into(t, 200, &got)
	if got.MentionAll != "admins" {
		t.Errorf("mention_all is %q", got.MentionAll)
	}
	if got := mentioned(bob); got != "ann " {
		t.Errorf("only admins may mention all: bob mentioned %q", got)
	}
	if got := mentioned(ann); got != "all ann " {
		t.Errorf("only admins may mention all: ann mentioned %q", got)
	}
	w.do("POST", "/v1/channels", bob, object{"name": "mine", "kind": "public", "mention_all": "nobody"}).want(t, 422, "invalid_request")
}
