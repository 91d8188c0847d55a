package chat_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

func TestCheckBody(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		limit      int
		ok         bool
	}{
		{"plain", "hello", 0, true},
		{"newline and tab", "a\n\tb", 0, true},
		{"emoji with joiner", "👩‍💻", 0, true},
		{"markup is not changed", "<b>&amp;</b>", 0, true},
		{"at the limit", strings.Repeat("x", chat.MaxBodyBytes), 0, true},
		{"over the limit", strings.Repeat("x", chat.MaxBodyBytes+1), 0, false},
		{"the limit is in bytes", strings.Repeat("ä", chat.MaxBodyBytes/2+1), 0, false},
		{"own limit", "12345", 4, false},
		{"at its own limit", "1234", 4, true},
		{"empty", "", 0, false},
		{"blank", " \n\t ", 0, false},
		{"blank in Unicode", "\u3000\u00a0\u2003", 0, false},
		{"invisible", "\u200b\ufeff \u2060\u00ad", 0, false},
		{"only direction marks", "\u202e\u2066", 0, false},
		{"fillers and selectors", "\u3164\u115f\uffa0\ufe0f\u034f\u2800", 0, false},
		{"invisible in a word", "a\u200bb", 0, true},
		{"a sign without an alphabet", "\u0301", 0, true},
		{"NUL", "a\x00b", 0, false},
		{"escape", "a\x1b[31m", 0, false},
		{"carriage return", "a\r\nb", 0, false},
		{"DEL", "a\x7f", 0, false},
		{"C1", "a\u0085b", 0, false},
		{"the last of C1", "a\u009fb", 0, false},
		{"just after C1", "a\u00a0b", 0, true},
		{"invalid UTF-8", "a\xffb", 0, false},
		{"a surrogate in UTF-8", "a\xed\xa0\x80", 0, false},
		{"overlong", "\xc0\x80", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := chat.CheckBody(tt.body, tt.limit)
			if (err == nil) != tt.ok {
				t.Errorf("CheckBody(%.20q, %d) = %v, want ok %v", tt.body, tt.limit, err, tt.ok)
			}
		})
	}
}

func TestBodyCode(t *testing.T) {
	for body, want := range map[string]apierr.Code{
		strings.Repeat("x", chat.MaxBodyBytes+1): apierr.TooLarge,
		"":                                       apierr.InvalidBody, "\x00": apierr.InvalidBody, "\xff": apierr.InvalidBody,
	} {
		if err := chat.CheckBody(body, 0); err == nil || chat.BodyCode(err) != want {
			t.Errorf("%.10q: %v, want the code %s", body, err, want)
		}
	}
}

func TestCheckLine(t *testing.T) {
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{"", true},
		{"four", true},
		{"äöüß", true},
		{"fiver", false},
		{"👍👍👍👍", true},
		{"a\nb", false},
		{"a\tb", false},
		{"a\x00", false},
		{"\xff", false},
		{"\u0080", false},
	} {
		if err := chat.CheckLine(tt.text, 4); (err == nil) != tt.ok {
			t.Errorf("CheckLine(%q, 4) = %v, want ok %v", tt.text, err, tt.ok)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, tt := range []struct {
		name string
		ok   bool
	}{
		{"Ann", true},
		{"Ann 👩‍💻", true},
		{"אנה", true},
		{"a\u200eb", true}, // a directional mark does not reverse text
		{"", false},
		{" \u200b\ufeff", false},
		{"a\u202eb", false},
		{"\u202aab", false},
		{"a\u2066b\u2069", false},
	} {
		if err := chat.CheckName(tt.name); (err == nil) != tt.ok {
			t.Errorf("CheckName(%q) = %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}

func TestCheckUsername(t *testing.T) {
	for _, tt := range []struct {
		name string
		ok   bool
	}{
		{"ann", true},
		{"Ann_B.c-9", true},
		{strings.Repeat("a", chat.MaxUsernameChars), true},
		{"an", false},
		{"", false},
		{strings.Repeat("a", chat.MaxUsernameChars+1), false},
		{"ann b", false},
		{"ann\n", false},
		{"änn", false},
		{"ann@x", false},
		{"ann/x", false},
		{"an\x00n", false},
		{"channel", false},
		{"Here", false},
		{"ALL", false},
		{"everyone", false},
		{"_everyone.", false},
		{"channels", true},
		{"hereby", true},
		{"all.of.us", true},
	} {
		if err := chat.CheckUsername(tt.name); (err == nil) != tt.ok {
			t.Errorf("CheckUsername(%q) = %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}

// FuzzCheckBody checks that every accepted body can be stored and sent, and is visible.
func FuzzCheckBody(f *testing.F) {
	for _, s := range []string{"hi", "a\nb", "\x00", "\xff", " ", "\u0085", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if chat.CheckBody(body, 0) != nil {
			return
		}
		switch {
		case !utf8.ValidString(body):
			t.Error("is not UTF-8")
		case len(body) > chat.MaxBodyBytes:
			t.Error("is too long")
		case chat.IsBlank(body):
			t.Error("is blank")
		case strings.ContainsFunc(body, func(r rune) bool {
			return r != '\n' && r != '\t' && (r < ' ' || r == 0x7f || r >= 0x80 && r <= 0x9f)
		}):
			t.Errorf("has a control character: %q", body)
		}
	})
}

func TestKindsAndRoles(t *testing.T) {
	for kind, want := range map[chat.ChannelKind]struct{ valid, hidden, open bool }{
		chat.Public: {true, false, true}, chat.Unlisted: {true, false, true},
		chat.Private: {true, true, false}, chat.Direct: {true, true, false}, "secret": {}, "": {},
	} {
		if kind.Valid() != want.valid || kind.Hidden() != want.hidden || kind.OpenToAll() != want.open {
			t.Errorf("%q: valid %v, hidden %v, open %v; want %v", kind, kind.Valid(), kind.Hidden(), kind.OpenToAll(), want)
		}
	}
	for role, want := range map[chat.Role]bool{chat.Owner: true, chat.Admin: true, chat.Member: true, "guest": false, "": false} {
		if role.Valid() != want {
			t.Errorf("Role(%q).Valid() = %v", role, !want)
		}
	}
}
