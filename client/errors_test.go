package client_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	closing := func(code int, reason string) error { return &client.CloseError{Code: code, Reason: reason} }
	for _, tt := range []struct {
		err          error
		final, token bool
		after        time.Duration
	}{
		{closing(1001, ""), false, false, 0},
		{closing(1012, `{"reconnect_after_ms":1234}`), false, false, 1234 * time.Millisecond},
		{closing(1012, `{"reconnect_after_ms":-5}`), false, false, 0},
		{closing(1012, `{"reconnect_after_ms":99999999999}`), false, false, time.Minute},
		{closing(1007, ""), true, false, 0},
		{closing(1008, ""), true, false, 0},
		{closing(1009, ""), true, false, 0},
		{closing(4000, `{"message":"x"}`), false, false, 0},
		{closing(4001, ""), false, true, 0},
		{closing(4008, ""), false, false, 0},
		{closing(4010, ""), false, false, 0},
		{closing(4029, ""), false, false, 0},
		{closing(4501, ""), true, true, 0},
		{closing(4503, ""), true, false, 0},
		{closing(4509, ""), true, false, 0},
		{closing(4777, "a code of later versions"), true, false, 0},
		{&client.DialError{Status: 401}, true, true, 0},
		{&client.DialError{Status: 404}, true, false, 0},
		{&client.DialError{Status: 429}, false, false, 0},
		{&client.DialError{Status: 503}, false, false, 0},
		{apierr.New(apierr.Unauthenticated, "x"), true, false, 0},
		{&client.Error{Code: apierr.Unavailable, RetryAfter: time.Second}, false, false, time.Second},
		{fmt.Errorf("dial: %w", errors.New("refused")), false, false, 0},
	} {
		if final, token, after := client.Judge(tt.err); final != tt.final || token != tt.token || after != tt.after {
			t.Errorf("%v: final %v, token %v, after %v", tt.err, final, token, after)
		}
	}
}

// closeCodes maps each close code in docs/websocket.md to the expected behavior of the client. The
// code 0 stands for a connection that ends without a close frame.
var closeCodes = map[int]struct {
	final  bool   // Run ends
	tokens string // the tokens of the two connections, if it reconnects
}{
	0: {false, "[token-1 token-1]"}, 1001: {false, "[token-1 token-1]"}, 1012: {false, "[token-1 token-1]"},
	1007: {final: true}, 1008: {final: true}, 1009: {final: true},
	4000: {false, "[token-1 token-1]"}, 4001: {false, "[token-1 token-2]"}, 4008: {false, "[token-1 token-1]"},
	4010: {false, "[token-1 token-1]"}, 4029: {false, "[token-1 token-1]"},
	4501: {false, "[token-1 token-2]"}, 4503: {final: true}, 4509: {false, "[token-1 token-2]"},
}

// TestCloseCodes_documented checks that the table above contains every documented close code.
func TestCloseCodes_documented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/websocket.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := []int{0}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\d{4})` \\|").FindAllSubmatch(doc, -1) {
		code, _ := strconv.Atoi(string(row[1])) // four digits
		documented = append(documented, code)
	}
	slices.Sort(documented)
	if known := slices.Sorted(maps.Keys(closeCodes)); !slices.Equal(known, documented) {
		t.Errorf("documented: %v, tested: %v", documented, known)
	}
}

// TestCloseCodes checks what happens when the server closes a running connection: the client
// reconnects, with another token where the code says so, and misses nothing; or Run ends and
// returns the code.
func TestCloseCodes(t *testing.T) {
	t.Parallel()
	for code, want := range closeCodes {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			c := chat.NewChannelID()
			g := newGateway(t, c)
			r := g.run(func(cfg *client.Config) { cfg.Tokens = &source{} })
			r.online(1)
			g.Say(c, 2)
			r.until("events", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) == 2 })
			codes := []int{code}
			if code == 0 {
				codes = nil
			}
			g.Cut(`{"message":"why"}`, codes...)
			if want.final {
				if e, ok := errors.AsType[*client.CloseError](r.end()); !ok || e.Code != code || e.Reason != `{"message":"why"}` {
					t.Errorf("Run = %v, want %d with its reason", r.end(), code)
				}
				if len(g.Tokens) != 1 {
					t.Errorf("%d connections, want one", len(g.Tokens))
				}
				return
			}
			g.Say(c, 3) // while the client is disconnected, or after it has resumed
			r.online(2)
			got := r.until("the events that were missed", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) >= 5 })
			inOrder(t, got, c, 1, 5)
			g.With(func() {
				if fmt.Sprint(g.Tokens) != want.tokens {
					t.Errorf("tokens %v, want %s", g.Tokens, want.tokens)
				}
			})
			for _, e := range all[client.Connection](got) {
				closing, ok := errors.AsType[*client.CloseError](e.Err)
				if e.State == client.Offline && (ok != (code != 0) || ok && closing.Code != code) {
					t.Errorf("the caller learns %v, want the code %d", e.Err, code)
				}
			}
		})
	}
}

// TestDialErrors checks what the client does if the upgrade to a WebSocket is refused.
func TestDialErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status     int
		retryAfter string
		final      bool
		wait       time.Duration // 0: the client's own backoff applies
	}{
		{http.StatusForbidden, "", true, 0},
		{http.StatusNotFound, "", true, 0},
		{http.StatusMisdirectedRequest, "", true, 0},
		{http.StatusRequestTimeout, "", false, 0},
		{http.StatusTooManyRequests, "600", false, 10 * time.Minute},
		{http.StatusBadGateway, "", false, 0},
		{http.StatusServiceUnavailable, "60", false, time.Minute},
	} {
		t.Run(strconv.Itoa(tt.status), func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			g.Upgrade = func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Retry-After", tt.retryAfter)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, "the reason\n") // fails only if the client has disconnected
				return true
			}
			r := g.run(nil)
			var err error
			if tt.final {
				err = r.end()
			} else {
				var first client.Connection
				r.until("offline", func(got []client.Event) bool {
					for _, e := range all[client.Connection](got) {
						if first = e; e.State == client.Offline {
							return true
						}
					}
					return false
				})
				err = first.Err
				if tt.wait != 0 && first.Wait != tt.wait || tt.wait == 0 && first.Wait > time.Second {
					t.Errorf("it waits %v, want %v", first.Wait, tt.wait)
				}
			}
			if e, ok := errors.AsType[*client.DialError](err); !ok || e.Status != tt.status || e.Detail != "the reason" {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// TestDialErrors_token checks that the client makes one more attempt, with another token, after a
// 401.
func TestDialErrors_token(t *testing.T) {
	t.Parallel()
	for accepted, final := range map[string]bool{"token-2": false, "token-9": true} {
		t.Run(accepted, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			var shown []string
			g.Upgrade = func(w http.ResponseWriter, r *http.Request) bool {
				token := r.Header.Get("Authorization")
				shown = append(shown, token)
				if token == "Bearer "+accepted {
					return false
				}
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			r := g.run(func(cfg *client.Config) { cfg.Tokens = &source{} })
			if final {
				if e, ok := errors.AsType[*client.DialError](r.end()); !ok || e.Status != http.StatusUnauthorized {
					t.Errorf("Run = %v", r.end())
				}
			} else {
				r.online(1)
			}
			g.With(func() {
				if want := "[Bearer token-1 Bearer token-2]"; fmt.Sprint(shown) != want {
					t.Errorf("tokens %v, want %s", shown, want)
				}
			})
		})
	}
}

// TestErrors_text checks the texts of the errors, which are meant for people.
func TestErrors_text(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&client.CloseError{Code: 4008}, "the server has closed the connection with 4008"},
		{&client.CloseError{Code: 4509, Reason: `{"message":"logged out"}`}, `the server has closed the connection with 4509 {"message":"logged out"}`},
		{&client.DialError{URL: "ws://x/ws", Status: 503, Detail: "down"}, "connect to ws://x/ws: 503 Service Unavailable down"},
		{&client.StoreError{Reason: "too large"}, "could not be stored: too large"},
		{&client.Error{Code: apierr.Conflict, Message: "deleted"}, "conflict: deleted"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// TestConnection_attempts checks that the number of failed attempts is reported to the caller, and
// that gateways are tried in turn.
func TestConnection_attempts(t *testing.T) {
	t.Parallel()
	down, up := newGateway(t), newGateway(t)
	var tried int
	down.Upgrade = func(w http.ResponseWriter, _ *http.Request) bool {
		tried++
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	up.Greet = func(conn *websocket.Conn) bool { return len(up.Tokens) > 1 || refuse(conn, 4000) }
	r := up.run(func(cfg *client.Config) {
		cfg.Sockets = []string{"ws" + down.URL[len("http"):] + "/ws?zone=a", "ws" + up.URL[len("http"):] + "/ws"}
	})
	r.online(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	var states []string
	for _, e := range all[client.Connection](r.got) {
		states = append(states, fmt.Sprint(e.State, " ", e.Attempt))
	}
	want := "[connecting 0 offline 1 connecting 1 offline 2 connecting 2 offline 3 connecting 3 online 0]"
	if fmt.Sprint(states) != want || tried != 2 {
		t.Errorf("%v, and the gateway that is down was tried %d times, want %s and 2", states, tried, want)
	}
}
