package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/platform/config"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// TestAttempts_networks checks which limits an address counts against.
func TestAttempts_networks(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.7":             "attempt 192.0.2.7/32, attempt-block 192.0.2.0/24",
		"::ffff:192.0.2.7":      "attempt 192.0.2.7/32, attempt-block 192.0.2.0/24",
		"2001:db8:1:1ff::7":     "attempt 2001:db8:1:1ff::/64, attempt-site 2001:db8:1:100::/56, attempt-block 2001:db8:1::/48",
		"fe80:0:0:1::7%network": "attempt fe80:0:0:1::/64, attempt-site fe80::/56, attempt-block fe80::/48",
		"":                      "",
	} {
		addr, _ := netip.ParseAddr(address) // "" is an unknown address
		var got []string
		for _, use := range attempts(addr) {
			got = append(got, string(use.Kind)+" "+use.Subject)
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("%q counts against %q, want %q", address, text, want)
		}
	}
}

// TestLogin_limitPerBlock checks that the networks of one household share a limit, and so do the
// networks of one IPv6 /48 or IPv4 /24. A request that a narrow limit refuses does not count
// against the wider ones.
func TestLogin_limitPerBlock(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Rate{Count: 2, Per: time.Hour})
	n := 0
	until := func(address func(i int) string, tries int) (passed int) {
		for i := range tries {
			n++
			_, _, err := f.login(t.Context(), fmt.Sprint("nobody-", n), "wrong horse", device{address: netip.MustParseAddr(address(i))})
			switch code := apierr.CodeOf(err); code {
			case apierr.InvalidCredentials:
				passed++
			case apierr.RateLimited:
			default:
				t.Errorf("login from %s: %v", address(i), err)
			}
		}
		return passed
	}
	one := func(address string) func(int) string { return func(int) string { return address } }
	if n := until(one("2001:db8:1:100::1"), 20); n != 2 {
		t.Errorf("one /64: %d, want 2", n)
	}
	if n := until(func(i int) string { return fmt.Sprintf("2001:db8:1:1%02x::1", i+1) }, 20); n != 6 {
		t.Errorf("the rest of its /56: %d, want 6", n)
	}
	if n := until(func(i int) string { return fmt.Sprintf("2001:db8:1:%x00::1", i+2) }, 40); n != 24 {
		t.Errorf("the rest of its /48: %d, want 24", n)
	}
	if n := until(func(i int) string { return fmt.Sprintf("192.0.2.%d", i) }, 40); n != 32 {
		t.Errorf("an IPv4 /24: %d, want 32", n)
	}
	if n := until(one("2001:db8:2::1"), 1); n != 1 {
		t.Error("a request from another network was refused")
	}
}

// TestGuessAtLogin_subjects checks which logins share a limit on wrong passwords: those with the
// same subject, and no others.
func TestGuessAtLogin_subjects(t *testing.T) {
	t.Parallel()
	ann := &user{ID: chat.NewUserID()}
	there := device{address: netip.MustParseAddr("198.51.100.1")}
	phone := func(at device) device { return device{address: at.address, proof: []byte("phone")} }
	of := func(u *user, known bool, name string, d device) string {
		g := guessAtLogin(u, known, name, d)
		return fmt.Sprint(g.own, g.all)
	}
	for _, tt := range []struct {
		name  string
		a, b  string
		equal bool
	}{
		{"capitals in a username", of(ann, false, "ann", home), of(ann, false, "ANN", home), true},
		{"capitals in an unknown name", of(nil, false, "ghost", home), of(nil, false, "Ghost", home), true},
		{"username and email address", of(ann, false, "ann", home), of(ann, false, "ann@example.com", home), false},
		{"networks", of(ann, false, "ann", home), of(ann, false, "ann", there), false},
		{"a known device in two networks", of(ann, true, "ann", phone(home)), of(ann, true, "ann@example.com", phone(there)), true},
		{"a known device and an unknown one", of(ann, true, "ann", phone(home)), of(ann, false, "ann", home), false},
		{"a made-up device and none", of(ann, false, "ann", phone(home)), of(ann, false, "ann", home), true},
		{"two unknown names", of(nil, false, "ghost", home), of(nil, false, "spirit", home), false},
	} {
		if got := tt.a == tt.b; got != tt.equal {
			t.Errorf("%s: share a limit = %v, want %v", tt.name, got, tt.equal)
		}
	}
	if g := guessAtLogin(ann, true, "ann", phone(home)); len(g.all) != 0 {
		t.Errorf("a known device counts against %v, which others can use up", g.all)
	}
}

// refusing is a Limits that refuses one use and records the tokens that are taken and returned.
type refusing struct {
	refused ratelimit.Use
	err     error
	log     []string
}

func (r *refusing) Take(_ context.Context, uses ...ratelimit.Use) ([]ratelimit.State, error) {
	if slices.Contains(uses, r.refused) {
		return nil, r.err
	}
	for _, u := range uses {
		r.log = append(r.log, "take "+u.Subject)
	}
	return nil, nil
}

func (r *refusing) Return(_ context.Context, uses ...ratelimit.Use) {
	for _, u := range uses {
		r.log = append(r.log, "return "+u.Subject)
	}
}

func (r *refusing) Forget(context.Context, ...ratelimit.Use) {}

// TestTakeInTurn checks that a refused request returns the tokens that it has taken, whatever the
// reason, and that a client sees the given message only if a limit is used up.
func TestTakeInTurn(t *testing.T) {
	t.Parallel()
	uses := []ratelimit.Use{{Subject: "narrow"}, {Subject: "wide"}, {Subject: "wider"}}
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		refused string
		err     error
		want    string
	}{
		"granted":           {"", nil, "take narrow, take wide, take wider"},
		"narrowest used":    {"narrow", &apierr.Error{Code: apierr.RateLimited, RetryAfter: time.Minute}, ""},
		"widest used":       {"wider", &apierr.Error{Code: apierr.RateLimited, RetryAfter: time.Minute}, "take narrow, take wide, return narrow, return wide"},
		"cannot be counted": {"wide", broken, "take narrow, return narrow"},
	} {
		limits := &refusing{refused: ratelimit.Use{Subject: tt.refused}, err: tt.err}
		s := &Service{cfg: Config{Limits: limits}}
		err := s.takeInTurn(t.Context(), uses, "Too many.")
		if got := strings.Join(limits.log, ", "); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		switch {
		case tt.err == nil || errors.Is(tt.err, broken):
			if !errors.Is(err, tt.err) {
				t.Errorf("%s: error %v, want %v", name, err, tt.err)
			}
		default:
			if e := apierr.Of(err); e.Code != apierr.RateLimited || e.Message != "Too many." || e.RetryAfter != time.Minute {
				t.Errorf("%s: error %+v", name, e)
			}
		}
	}
}
