package apierr_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"parley.chat/shared-contracts/apierr"
)

// table contains the error codes that are documented in docs/websocket.md and docs/openapi.yaml. A
// new code must be added here, with its statuses.
var table = map[apierr.Code]struct{ http, close int }{
	"bad_frame": {400, 1008}, "too_large": {413, 1009}, "invalid_body": {422, 0},
	"unauthenticated": {401, 4501}, "forbidden": {403, 4503}, "not_found": {404, 0},
	"not_subscribed": {409, 0}, "conflict": {409, 0}, "rate_limited": {429, 0},
	"overloaded": {503, 0}, "unavailable": {503, 4000}, "internal": {500, 4000},
	"invalid_request": {422, 0}, "invalid_credentials": {401, 0}, "account_suspended": {403, 0}, "username_taken": {409, 0},
	"email_taken": {409, 0}, "name_taken": {409, 0}, "foreign_origin": {403, 0},
	"method_not_allowed": {405, 0}, "unsupported_media_type": {415, 0}, "misdirected": {421, 0},
	"token_expired": {401, 4001}, "slow_consumer": {503, 4008}, "gap_not_healed": {503, 4010},
	"too_many_connections": {429, 4029}, "session_revoked": {401, 4509},
}

func TestCodes(t *testing.T) {
	codes := apierr.Codes()
	if len(codes) != len(table) {
		t.Errorf("%d codes, want %d", len(codes), len(table))
	}
	for _, c := range codes {
		want, ok := table[c]
		if !ok {
			t.Errorf("%s is not in the table of this test", c)
			continue
		}
		if c.HTTPStatus() != want.http || c.CloseCode() != want.close {
			t.Errorf("%s is %d and %d, want %d and %d", c, c.HTTPStatus(), c.CloseCode(), want.http, want.close)
		}
		if c.HTTPStatus() < 400 || http.StatusText(c.HTTPStatus()) == "" {
			t.Errorf("%s has the HTTP status %d", c, c.HTTPStatus())
		}
	}
}

// TestCloseCodes_tellWhetherToReconnect checks the ranges of close codes, because a client decides
// only by the number whether to reconnect.
func TestCloseCodes_tellWhetherToReconnect(t *testing.T) {
	comeBack := map[apierr.Code]bool{
		"internal": true, "unavailable": true, "token_expired": true, "slow_consumer": true,
		"gap_not_healed": true, "too_many_connections": true,
	}
	for _, c := range apierr.Codes() {
		n := c.CloseCode()
		if n == 0 {
			continue
		}
		if n != 1008 && n != 1009 && (n < 4000 || n > 4999) {
			t.Errorf("%s closes with %d, which is outside our range", c, n)
		}
		if got := n >= 4000 && n <= 4499; got != comeBack[c] {
			t.Errorf("%s closes with %d: reconnect is %v, want %v", c, n, got, comeBack[c])
		}
	}
}

func TestOf(t *testing.T) {
	own := apierr.New(apierr.NotFound, "Channel %d does not exist.", 7)
	for _, tt := range []struct {
		name string
		err  error
		want apierr.Code
		text string
	}{
		{"own", own, apierr.NotFound, "Channel 7 does not exist."},
		{"wrapped", fmt.Errorf("load: %w", own), apierr.NotFound, "Channel 7 does not exist."},
		{"joined", errors.Join(io.EOF, own), apierr.NotFound, "Channel 7 does not exist."},
		{"with a cause", apierr.Wrap(io.EOF, apierr.Unavailable, "later"), apierr.Unavailable, "later"},
		{"foreign", errors.New("dial tcp 10.0.0.7: refused"), apierr.Internal, ""},
		{"unknown code", apierr.New("made_up", "host 10.0.0.7"), apierr.Internal, ""},
		{"no code", &apierr.Error{Message: "host 10.0.0.7"}, apierr.Internal, ""},
		{"internal", apierr.New(apierr.Internal, "The script on 10.0.0.7 returned no seq."), apierr.Internal, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := apierr.Of(tt.err)
			if e.Code != tt.want || apierr.CodeOf(tt.err) != tt.want {
				t.Errorf("Of = %q, CodeOf = %q; want %q", e.Code, apierr.CodeOf(tt.err), tt.want)
			}
			if tt.text != "" && e.Message != tt.text {
				t.Errorf("message %q, want %q", e.Message, tt.text)
			}
			if e.Message == "" || strings.Contains(e.Message, "10.0.0.7") {
				t.Errorf("message %q is empty or reveals internal details", e.Message)
			}
			if tt.text == "" && !errors.Is(e, tt.err) {
				t.Error("the cause is not available to the log")
			}
		})
	}
}

func TestWrap_hidesTheCauseFromTheClient(t *testing.T) {
	e := apierr.Wrap(io.ErrUnexpectedEOF, apierr.Unavailable, "Try %s.", "later")
	if !errors.Is(e, io.ErrUnexpectedEOF) || e.Message != "Try later." || e.Error() != "unavailable: Try later: unexpected EOF" {
		t.Errorf("%q, %q", e.Message, e.Error())
	}
	if s := apierr.New(apierr.Conflict, "x").Error(); s != "conflict: x" {
		t.Errorf("New: %q", s)
	}
}
