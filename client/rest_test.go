package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// restServer starts a server and returns the API with its own connections.
func restServer(t *testing.T, tokens client.TokenSource, handle http.HandlerFunc) *client.API {
	t.Helper()
	server := httptest.NewServer(handle)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	api, err := client.NewAPI(server.URL+"/", tokens, &http.Client{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// TestAPI_errors checks the *Error for a refused request, whether the server or a proxy in front of
// it has refused it.
func TestAPI_errors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		status     int
		retryAfter string
		body       string
		code       apierr.Code
		message    string
		wait       time.Duration
	}{
		{"a problem document", 403, "", `{"code":"forbidden","detail":"you are not a member"}`, apierr.Forbidden, "you are not a member", 0},
		{"the document counts more than the status", 409, "", `{"code":"username_taken","detail":"taken"}`, apierr.UsernameTaken, "taken", 0},
		{"a code of a later version", 418, "", `{"code":"teapot","detail":"short and stout"}`, "teapot", "short and stout", 0},
		{"with a delay", 429, "7", `{"code":"rate_limited","detail":"wait"}`, apierr.RateLimited, "wait", 7 * time.Second},
		{"a date as the delay", 503, "Fri, 02 Jan 2026 03:04:05 GMT", `{"code":"unavailable","detail":"down"}`, apierr.Unavailable, "down", 0},
		{"a proxy's 401", 401, "", "<html>", apierr.Unauthenticated, "401 Unauthorized", 0},
		{"a proxy's 429", 429, "3", "", apierr.RateLimited, "429 Too Many Requests", 3 * time.Second},
		{"a proxy's 502", 502, "", "<html>bad gateway</html>", apierr.Unavailable, "502 Bad Gateway", 0},
		{"a proxy's 404", 404, "", "{}", apierr.InvalidRequest, "404 Not Found", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api := restServer(t, nil, func(w http.ResponseWriter, _ *http.Request) {
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body) // fails only if the client has disconnected
			})
			err := api.LeaveChannel(t.Context(), chat.NewChannelID())
			e, ok := errors.AsType[*client.Error](err)
			if !ok || e.Code != tt.code || e.Message != tt.message || e.RetryAfter != tt.wait {
				t.Errorf("%+v (%v), want %s %q after %v", e, err, tt.code, tt.message, tt.wait)
			}
		})
	}
}

// TestAPI_invalidFields checks that the error lists the invalid fields of a request.
func TestAPI_invalidFields(t *testing.T) {
	t.Parallel()
	api := restServer(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"code":"invalid_request","detail":"name is too long","errors":[{"field":"name","code":"length","message":"is too long","max":80}]}`)
	})
	_, err := api.CreateChannel(t.Context(), strings.Repeat("x", 1000), chat.Public)
	e, ok := errors.AsType[*client.Error](err)
	want := []apierr.FieldError{apierr.FieldOf("name", apierr.Violates(apierr.FieldLength, "is too long").AtMost(80))}
	if !ok || !reflect.DeepEqual(e.Fields, want) {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestAPI_otherErrors checks that an answer that is not JSON and a canceled request are not
// mistaken for refusals by the server.
func TestAPI_otherErrors(t *testing.T) {
	t.Parallel()
	api := restServer(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/users" {
			_, _ = io.WriteString(w, "<html>a login page</html>")
			return
		}
		<-r.Context().Done()
	})
	_, err := api.FindUsers(t.Context(), "ann")
	if _, refused := errors.AsType[*client.Error](err); err == nil || refused || !strings.Contains(err.Error(), "GET /v1/users?query=ann") {
		t.Errorf("not JSON: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := api.MyChannels(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("canceled: %v", err)
	}
}

// TestAPI_renewsTheToken checks that a refused token is renewed once, and that the request is then
// repeated with its body.
func TestAPI_renewsTheToken(t *testing.T) {
	t.Parallel()
	var shown, bodies []string
	accepted := "token-2"
	api := restServer(t, &source{}, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		shown, bodies = append(shown, r.Header.Get("Authorization")), append(bodies, string(b))
		if r.Header.Get("Authorization") != "Bearer "+accepted {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"name":"tea"}`)
	})
	ch, err := api.CreateChannel(t.Context(), "tea", chat.Public)
	if err != nil || ch.Name != "tea" {
		t.Errorf("%+v, %v", ch, err)
	}
	if got := strings.Join(shown, ", "); got != "Bearer token-1, Bearer token-2" || bodies[0] == "" || bodies[0] != bodies[1] {
		t.Errorf("tokens %s, bodies %q", got, bodies)
	}
	shown, accepted = nil, "none"
	if _, err := api.CreateChannel(t.Context(), "tea", chat.Public); apierr.CodeOf(err) != apierr.Unauthenticated {
		t.Errorf("no token is accepted: %v", err)
	}
	if got := strings.Join(shown, ", "); got != "Bearer token-2, Bearer token-3" {
		t.Errorf("no token is accepted: tokens %s, want one renewal", got)
	}
}

// TestAPI_requests checks the request of each method, as docs/openapi.yaml describes it.
func TestAPI_requests(t *testing.T) {
	t.Parallel()
	c, message, invitation, ann := chat.NewChannelID(), chat.NewEventID(), chat.NewInvitationID(), chat.NewUserID()
	var got string
	api := restServer(t, client.StaticToken("x"), func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = strings.TrimSpace(r.Method + " " + r.URL.RequestURI() + " " + string(b))
		if want := map[bool]string{true: "application/json"}[len(b) > 0]; r.Header.Get("Content-Type") != want {
			t.Errorf("%s: content type %q, want %q", got, r.Header.Get("Content-Type"), want)
		}
		_, _ = io.WriteString(w, `{}`)
	})
	at := "/v1/channels/" + c.String()
	for _, tt := range []struct {
		want string
		call func(ctx context.Context) error
	}{
		{`POST /v1/channels {"kind":"unlisted","name":"tea"}`, func(ctx context.Context) error { _, err := api.CreateChannel(ctx, "tea", chat.Unlisted); return err }},
		{"POST " + at + "/join", func(ctx context.Context) error { _, err := api.JoinChannel(ctx, c); return err }},
		{"POST " + at + "/leave", func(ctx context.Context) error { return api.LeaveChannel(ctx, c) }},
		{"GET /v1/invitations?limit=200", func(ctx context.Context) error { _, err := api.Invitations(ctx); return err }},
		{"POST /v1/invitations/" + invitation.String() + "/accept", func(ctx context.Context) error { return api.AcceptInvitation(ctx, invitation) }},
		{"POST /v1/invitations/" + invitation.String() + "/decline", func(ctx context.Context) error { return api.DeclineInvitation(ctx, invitation) }},
		{"GET /v1/channels?mine=true&limit=200", func(ctx context.Context) error { _, err := api.MyChannels(ctx); return err }},
		{`POST /v1/dms {"user_id":"` + ann.String() + `"}`, func(ctx context.Context) error { _, err := api.OpenDirect(ctx, ann); return err }},
		{"GET /v1/users?query=an%26n", func(ctx context.Context) error { _, err := api.FindUsers(ctx, "an&n"); return err }},
		{"GET " + at + "/messages?limit=15", func(ctx context.Context) error { _, err := api.Newest(ctx, c, 15); return err }},
		{"GET " + at + "/messages?before_seq=41&limit=15", func(ctx context.Context) error { _, err := api.Before(ctx, c, 41, 15); return err }},
		{"GET " + at + "/messages?after_seq=41&limit=15", func(ctx context.Context) error { _, err := api.After(ctx, c, 41, 15); return err }},
		{"GET " + at + "/messages?as_of_seq=9&limit=15", func(ctx context.Context) error { _, err := api.Newest(ctx, c, 15, client.AsOfSeq(9)); return err }},
		{"GET " + at + "/messages?as_of_seq=0&before_seq=41&limit=15", func(ctx context.Context) error {
			_, err := api.Before(ctx, c, 41, 15, client.AsOfSeq(0))
			return err
		}},
		{"GET " + at + "/messages?after_seq=41&as_of=2026-01-02T02%3A04%3A05.006Z&limit=15", func(ctx context.Context) error {
			_, err := api.After(ctx, c, 41, 15, client.AsOf(time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.FixedZone("", 3600))))
			return err
		}},
		{"GET " + at + "/changes?from_seq=3&to_seq=41&limit=200", func(ctx context.Context) error { _, err := api.Changes(ctx, c, 3, 41); return err }},
		{"GET " + at + "/events?after_seq=41&limit=200", func(ctx context.Context) error { _, err := api.Events(ctx, c, 41); return err }},
		{"GET " + at + "/messages/" + message.String() + "/receipts?limit=1", func(ctx context.Context) error { _, _, _, err := api.Receipts(ctx, c, message); return err }},
		{"DELETE " + at + "/messages/" + message.String() + "/reactions?", func(ctx context.Context) error {
			_, _, err := api.RemoveReactions(ctx, c, message, "", chat.UserID{})
			return err
		}},
		{"DELETE " + at + "/messages/" + message.String() + "/reactions?emoji=%F0%9F%91%8D&user_id=" + ann.String(), func(ctx context.Context) error {
			_, _, err := api.RemoveReactions(ctx, c, message, "👍", ann)
			return err
		}},
	} {
		if err := tt.call(t.Context()); err != nil || got != tt.want {
			t.Errorf("%v\n got  %s\n want %s", err, got, tt.want)
		}
	}
}

// TestAPI_pages checks that a list is read to its end, and that an error on a later page is
// returned instead of an incomplete list.
func TestAPI_pages(t *testing.T) {
	t.Parallel()
	broken := false
	api := restServer(t, nil, func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]any{}
		switch cursor := r.URL.Query().Get("cursor"); {
		case r.URL.Query().Get("limit") != "200":
			t.Errorf("%s: the limit is not on every page", r.URL)
		case cursor == "":
			answer["items"], answer["next_cursor"] = []map[string]string{{"name": "a"}, {"name": "b"}}, "a b+c"
		case broken:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case cursor == "a b+c":
			answer["items"] = []map[string]string{{"name": "c"}}
		}
		_ = json.NewEncoder(w).Encode(answer) // fails only if the client has disconnected
	})
	channels, err := api.MyChannels(t.Context())
	if err != nil || len(channels) != 3 || channels[2].Name != "c" {
		t.Errorf("%+v, %v", channels, err)
	}
	broken = true
	if channels, err := api.MyChannels(t.Context()); apierr.CodeOf(err) != apierr.Unavailable || channels != nil {
		t.Errorf("%+v, %v, want no channels and unavailable", channels, err)
	}
}

// TestAPI_answers checks that each field of an answer is in the documented field of the SDK's
// types.
func TestAPI_answers(t *testing.T) {
	t.Parallel()
	ann := chat.NewUserID()
	api := restServer(t, nil, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/receipts"):
			_, _ = io.WriteString(w, `{"member_count":9,"delivered_count":7,"read_count":4}`)
		case strings.HasSuffix(r.URL.Path, "/reactions"):
			_, _ = io.WriteString(w, `{"removed":100,"more":true}`)
		case strings.HasSuffix(r.URL.Path, "/changes"):
			next := map[bool]string{true: `"more"`, false: "null"}[r.URL.Query().Get("cursor") == ""]
			fmt.Fprintf(w, `{"items":[{"message":{"seq":3,"body":"hi"},"created":true,"edited":true,"deleted":true,`+
				`"reactions_added":[{"emoji":"👍","count":30,"user_ids":[%q]}],"reactions_removed":[{"emoji":"🎉","count":1}]}],"next_cursor":%s}`, ann, next)
		default:
			fmt.Fprintf(w, `{"items":[{"seq":3,"body":"hi","deleted_at":null,"edited_at":"2026-01-02T03:04:05.006Z","reply_to":null,`+
				`"reactions":[{"emoji":"👍","count":30,"user_ids":[%q]}]}]}`, ann)
		}
	})
	c, m := chat.NewChannelID(), chat.NewEventID()
	if delivered, read, members, err := api.Receipts(t.Context(), c, m); delivered != 7 || read != 4 || members != 9 || err != nil {
		t.Errorf("receipts: %d delivered, %d read, %d members, %v", delivered, read, members, err)
	}
	if removed, more, err := api.RemoveReactions(t.Context(), c, m, "", ann); removed != 100 || !more || err != nil {
		t.Errorf("reactions: %d removed, more %v, %v", removed, more, err)
	}
	changes, err := api.Changes(t.Context(), c, 1, 9)
	if err != nil || len(changes) != 2 {
		t.Fatalf("%+v, %v, want the changes of both pages", changes, err)
	}
	if got := changes[1]; got.Message.Seq != 3 || got.Message.Body != "hi" || !got.Created || !got.Edited || !got.Deleted ||
		got.ReactionsAdded[0].Count != 30 || got.ReactionsAdded[0].Users[0] != ann || got.ReactionsRemoved[0].Emoji != "🎉" {
		t.Errorf("change: %+v", got)
	}
	page, err := api.Newest(t.Context(), c, 1)
	if err != nil || len(page) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	if got := page[0]; got.Seq != 3 || !got.DeletedAt.IsZero() || got.EditedAt.IsZero() || !got.ReplyTo.IsZero() ||
		len(got.Reactions) != 1 || got.Reactions[0].Count != 30 || got.Reactions[0].Users[0] != ann {
		t.Errorf("message: %+v", got)
	}
}
