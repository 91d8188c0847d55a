package chatservice_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestCursors checks that every list accepts its own cursors and refuses those of other lists. A
// list also refuses its own cursor if a field is missing, unknown, repeated or of another type. If
// a list accepted an invalid cursor, it would start again from the beginning.
func TestCursors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, cid := w.signup("user-ann"), w.signup("user-bob"), w.signup("user-cid")
	channel := w.create(ann, "general", "public").ID.String()
	w.create(ann, "other", "public")
	var group, ack struct{ ID string }
	for range 2 {
		w.post("/v1/groups", ann.Token, object{"name": "team"}).into(t, 201, &group)
	}
	for _, name := range []string{"one", "two"} {
		w.post("/v1/groups/"+group.ID+"/channels", ann.Token, object{"name": name, "kind": "public"}).must(t, 201)
		w.post("/v1/channels/"+channel+"/messages", ann.Token, object{"body": name}).into(t, 201, &ack)
	}
	for _, u := range []user{bob, cid} {
		w.post("/v1/channels/"+channel+"/members", ann.Token, object{"user_id": u.ID}).must(t, 200)
		w.post("/v1/groups/"+group.ID+"/members", ann.Token, object{"user_id": u.ID}).must(t, 200)
		w.post("/v1/contacts", ann.Token, object{"user_id": u.ID}).must(t, 200)
	}
	for _, name := range []string{"user-dov", "user-eve"} {
		u := w.signup(name)
		w.send(request{method: "PUT", path: "/v1/channels/" + channel + "/bans/" + u.ID.String(), token: ann.Token}).must(t, 204)
		w.Exec("insert into invitations (id, group_id, user_id, invited_by) values (gen_random_uuid(), $1, $2, $3)", group.ID, u.ID.UUID, ann.ID.UUID)
		w.Exec("insert into invitations (id, channel_id, user_id, invited_by) values (gen_random_uuid(), $1, $2, $3)", channel, u.ID.UUID, ann.ID.UUID)
	}
	w.Settled()
	var receipted struct {
		ID  string
		Seq int64
	}
	w.post("/v1/channels/"+channel+"/messages", ann.Token, object{"body": "after all have come"}).into(t, 201, &receipted)
	for _, u := range []user{bob, cid} {
		w.send(request{method: "PUT", path: "/v1/channels/" + channel + "/cursor", token: u.Token, body: object{"read_seq": receipted.Seq}}).must(t, 200)
	}
	lists := map[string]string{ // by operation id
		"listUsers": "/v1/users?query=u", "listContacts": "/v1/contacts?", "listGroups": "/v1/groups?",
		"listGroupMembers": "/v1/groups/" + group.ID + "/members?", "listGroupChannels": "/v1/groups/" + group.ID + "/channels?",
		"listChannels": "/v1/channels?", "listMembers": "/v1/channels/" + channel + "/members?",
		"listMessages": "/v1/channels/" + channel + "/messages?after_seq=0", "listEvents": "/v1/channels/" + channel + "/events?after_seq=0",
		"listChanges": "/v1/channels/" + channel + "/changes?from_seq=0&to_seq=1000",
		"listBans":    "/v1/channels/" + channel + "/bans?", "listInvitations": "/v1/invitations?sent=true",
		"listChannelInvitations": "/v1/channels/" + channel + "/invitations?",
		"listReceipts":           "/v1/channels/" + channel + "/messages/" + receipted.ID + "/receipts?",
	}
	everyList(t, lists)
	cursors := map[string]string{}
	for name, path := range lists {
		first := w.listed(t, path+"&limit=1", ann)
		if first.Next == nil {
			t.Fatalf("%s has only one page: %s", name, first.Items)
		}
		cursors[name] = *first.Next
		second := w.listed(t, path+"&limit=1&cursor="+*first.Next, ann)
		if len(second.Items) != 1 || string(second.Items[0]) == string(first.Items[0]) {
			t.Errorf("%s: the page after %s is %s", name, first.Items, second.Items)
		}
	}
	for name, path := range lists {
		foreign := []string{"e30", "bnVsbA", "W10", "eyJiIjoxMH0"}
		for other, cursor := range cursors {
			if other != name {
				foreign = append(foreign, cursor, relabeled(t, cursor, name, cursors[name]))
			}
		}
		own, err := base64.RawURLEncoding.DecodeString(cursors[name])
		if err != nil {
			t.Fatal(err)
		}
		for _, changed := range malformed(name, string(own)) {
			foreign = append(foreign, base64.RawURLEncoding.EncodeToString([]byte(changed)))
		}
		for _, cursor := range foreign {
			if cursor == cursors[name] {
				continue
			}
			p := w.get(path+"&cursor="+url.QueryEscape(cursor), ann.Token).want(t, 422, "invalid_request")
			if len(p.Errors) != 1 || p.Errors[0].Field != "cursor" {
				t.Errorf("%s with cursor %s: errors = %+v", name, cursor, p.Errors)
			}
		}
	}
}

// everyList fails the test if a list in the API document is not covered.
func everyList(t *testing.T, tried map[string]string) {
	t.Helper()
	doc, err := spec()
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if op.Parameters.GetByInAndName("query", "cursor") != nil && tried[op.OperationID] == "" {
				t.Errorf("no request for %s", op.OperationID)
			}
		}
	}
}

type listPage struct {
	Items []json.RawMessage `json:"items"`
	Next  *string           `json:"next_cursor"`
}

func (w *world) listed(t *testing.T, path string, by user) (p listPage) {
	t.Helper()
	w.get(path, by.Token).into(t, 200, &p)
	return p
}

// relabeled forges a cursor for list that contains the position from another list's cursor. If
// both positions have the same fields, it returns own instead.
func relabeled(t *testing.T, cursor, list, own string) string {
	t.Helper()
	foreign, mine := fieldsOf(t, cursor), fieldsOf(t, own)
	if slices.Equal(slices.Sorted(maps.Keys(foreign)), slices.Sorted(maps.Keys(mine))) {
		return own
	}
	return encoded(map[string]any{list: foreign})
}

func encoded(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// fieldsOf returns the fields of a cursor's position.
func fieldsOf(t *testing.T, cursor string) map[string]json.RawMessage {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	var lists map[string]map[string]json.RawMessage
	if err != nil || json.Unmarshal(raw, &lists) != nil || len(lists) != 1 {
		t.Fatalf("cursor %s is %s, %v", cursor, raw, err)
	}
	for _, fields := range lists {
		return fields
	}
	return nil
}

// malformed returns malformed variants of a cursor.
func malformed(list, own string) []string {
	inner := strings.TrimSuffix(strings.TrimPrefix(own, `{"`+list+`":`), "}")
	return []string{
		`{"` + list + `":{}}`, `{"` + list + `":null}`, `{"` + list + `":[]}`, `{"` + list + `":1}`, `{"` + list + `":{"x":1}}`,
		`{"` + list + `":{"x":1,` + inner[1:] + "}", own + own, strings.Replace(own, "}", `,"x":1}`, 1),
		`{"` + strings.ToUpper(list) + `":` + inner + "}", strings.Replace(own, "}}", `},"x":1}`, 1),
	}
}
