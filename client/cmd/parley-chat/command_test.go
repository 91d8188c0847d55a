package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// TestTyped_refused checks the message to the user when input cannot be carried out, and that the
// input counts as not sent.
func TestTyped_refused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		line      string
		noChannel bool
		want      string
	}{
		{"hello", true, "✗ not sent: hello: no channel: /to NAME"},
		{"/edit x", true, "/edit: no channel: /to NAME"},
		{"/dance", false, "/dance: no such command: /help"},
		{"/edit", false, "/edit: missing argument: /help"},
		{"/react", false, "/react: missing argument: /help"},
		{"/unreact  ", false, "/unreact: missing argument: /help"},
		{"/edit x", false, "/edit: there is no message to apply that to"},
		{"/delete", false, "/delete: there is no message to apply that to"},
		{"/react 👍", false, "/react: there is no message to apply that to"},
		{"/dm", false, "/dm: missing argument: /help"},
		{"/dm @", false, "/dm: missing argument: /help"},
		{"/to nowhere", false, `/to: you have no channel "nowhere": /list`},
		{"/join tea", false, "/join: "},
	} {
		t.Run(tt.line, func(t *testing.T) {
			t.Parallel()
			s, out := testScreen(t, nil)
			if tt.noChannel {
				s.at(chat.ChannelID{})
			}
			if !s.typed(t.Context(), tt.line) || s.refused != 1 || !strings.Contains(out.String(), tt.want) {
				t.Errorf("%d refused, printed %q, want %q", s.refused, out, tt.want)
			}
		})
	}
}

// TestTyped checks input that the program handles without the server.
func TestTyped(t *testing.T) {
	t.Parallel()
	s, out := testScreen(t, nil)
	for line, more := range map[string]bool{"": true, "   ": true, "/quit": false, " /quit ": false, "/help": true, "/list": true} {
		if s.typed(t.Context(), line) != more {
			t.Errorf("%q: continues %v, want %v", line, !more, more)
		}
	}
	if s.refused != 0 || !strings.Contains(out.String(), commands) || !strings.Contains(out.String(), "  · "+tea.String()+" tea, public\n") {
		t.Errorf("%d refused, printed %q", s.refused, out)
	}
	if s.typed(t.Context(), " hello "); len(s.unsent) != 1 || s.unsent[0].text != "hello" {
		t.Errorf("unsent: %+v", s.unsent)
	}
}

// TestCommands_documented checks that every command in the help text exists.
func TestCommands_documented(t *testing.T) {
	t.Parallel()
	names := regexp.MustCompile(`(?m)^  (/\w+)`).FindAllStringSubmatch(commands, -1)
	if len(names) < 10 {
		t.Fatalf("the help text has %d commands", len(names))
	}
	for _, name := range names {
		s, out := testScreen(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
		ctx, cancel := context.WithCancel(t.Context())
		s.typed(ctx, name[1])
		cancel()
		s.tasks.Wait()
		if strings.Contains(out.String(), "no such command") {
			t.Errorf("%s: %s", name[1], out)
		}
	}
}

// TestFind_channel checks how /to finds a channel: by id, by name, or by the other user of a direct
// channel.
func TestFind_channel(t *testing.T) {
	t.Parallel()
	s, _ := testScreen(t, nil)
	direct, twin := chat.NewChannelID(), chat.NewChannelID()
	s.channels[direct] = frame.ChannelSummary{ChannelID: direct, Kind: chat.Direct}
	s.peers[direct] = "Bob"
	s.channels[twin] = frame.ChannelSummary{ChannelID: twin, Name: "den"}
	for name, want := range map[string]chat.ChannelID{"tea": tea, tea.String(): tea, "bob": direct, "@BOB": direct, "@Bob": direct, twin.String(): twin} {
		if got, err := s.find(name); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", name, got, err, want)
		}
	}
	for name, want := range map[string]string{"den": `2 channels called "den"`, "TEA": `no channel "TEA"`, "": `no channel ""`} {
		if got, err := s.find(name); !got.IsZero() || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %s, %v, want %q", name, got, err, want)
		}
	}
	bob := chat.NewChannelID() // a channel with the same name as the user
	s.channels[bob] = frame.ChannelSummary{ChannelID: bob, Name: "bob"}
	if got, err := s.find("bob"); got != bob || err != nil {
		t.Errorf("bob: %s, %v, want the channel of that name", got, err)
	}
}

// TestCommands_requests checks which requests each command makes, and which channel is current
// after it.
func TestCommands_requests(t *testing.T) {
	t.Parallel()
	made, bob := chat.NewChannelID(), chat.NewUserID()
	for _, tt := range []struct {
		line, requests string
		current        chat.ChannelID
	}{
		{"/create attic", "POST /v1/channels", made},
		{"/join " + made.String(), "POST /v1/channels/" + made.String() + "/join, GET /v1/channels/" + made.String() + "/messages", made},
		{"/to den", "GET /v1/channels/" + den.String() + "/messages", den},
		{"/history", "GET /v1/channels/" + tea.String() + "/messages", tea},
		{"/leave", "POST /v1/channels/" + tea.String() + "/leave", chat.ChannelID{}},
		{"/dm @bob", "GET /v1/users, POST /v1/dms, GET /v1/channels/" + made.String() + "/messages", made},
		{"/dm BOB hi there", "GET /v1/users", tea},
		{"/dm bo hi there", "GET /v1/users", tea},                                                  // bob is not bo
		{"/join " + den.String(), "POST /v1/channels/" + den.String() + "/join", chat.ChannelID{}}, // refused: the input must not go to tea
		{"/dm ann", "GET /v1/users, POST /v1/dms", chat.ChannelID{}},                               // refused
	} {
		t.Run(tt.line, func(t *testing.T) {
			t.Parallel()
			var requests []string
			s, out := testScreen(t, func(w http.ResponseWriter, r *http.Request) {
				requests = append(requests, r.Method+" "+r.URL.Path)
				if strings.HasPrefix(r.URL.Path, "/v1/channels/"+den.String()+"/join") || r.URL.Path == "/v1/dms" && tt.line == "/dm ann" {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				switch r.URL.Path {
				case "/v1/users":
					fmt.Fprintf(w, `{"items":[{"id":%q,"username":"Bobby"},{"id":%q,"username":"Bob"},{"id":%q,"username":"ann"}]}`, chat.NewUserID(), bob, ann)
				case "/v1/channels", "/v1/channels/" + made.String() + "/join", "/v1/dms":
					fmt.Fprintf(w, `{"id":%q,"name":"attic","kind":"unlisted"}`, made)
				default:
					_, _ = io.WriteString(w, `{}`)
				}
			})
			s.typed(t.Context(), tt.line)
			if got := strings.Join(requests, ", "); got != tt.requests {
				t.Errorf("requests %q, want %q", got, tt.requests)
			}
			if s.current != tt.current {
				t.Errorf("the current channel is %s, want %s\n%s", s.name(s.current), s.name(tt.current), out)
			}
			if sent := len(s.unsent); sent != map[bool]int{true: 1}[tt.line == "/dm BOB hi there"] {
				t.Errorf("%d messages were sent", sent)
			}
		})
	}
}
