package authority

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/revoked"
	"parley.chat/ws-server/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is a fake store. The test sets its answers and can delay them.
type scripted struct {
	mu     sync.Mutex
	member store.Access
	blocks []chat.UserID
	err    error
	reads  [][]chat.MemberKey
	held   chan struct{} // if set, the next read determines its answer immediately but returns it only when this channel is closed
	began  chan struct{} // if set, the next read closes this channel
}

func (s *scripted) Access(_ context.Context, keys []chat.MemberKey) ([]store.Access, error) {
	s.mu.Lock()
	s.reads = append(s.reads, keys)
	answer, err, held, began := s.member, s.err, s.held, s.began
	s.held, s.began = nil, nil
	s.mu.Unlock()
	if began != nil {
		close(began)
	}
	if held != nil {
		<-held
	}
	return slices.Repeat([]store.Access{answer}, len(keys)), err
}

func (s *scripted) Blocks(_ context.Context, users []chat.UserID) ([][]chat.UserID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Repeat([][]chat.UserID{s.blocks}, len(users)), s.err
}

func (s *scripted) set(change func(*scripted)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *scripted) Revoked(context.Context, []revoked.Login) ([]revoked.Login, error) {
	return nil, nil
}

var member = store.Access{Role: chat.Member, Announced: true}

var login = revoked.Login{Session: chat.NewSessionID()}

// enter returns a user of an Authority that uses s. The Authority runs until the test ends.
func enter(t *testing.T, s *scripted, change func(*Config)) (*Authority, *User) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cfg := Config{
		Store: s, Sessions: s, VerifyEvery: time.Hour, Logger: slog.New(slog.DiscardHandler),
		Expelled: func(chat.UserID, chat.ChannelID) {}, Ended: func(revoked.Login) {},
	}
	if change != nil {
		change(&cfg)
	}
	a := New(ctx, cfg)
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait(); a.Wait() })
	return a, a.Enter(revoked.Login{User: chat.NewUserID(), Session: login.Session})
}

// A read that began before a removal must not bring the membership back.
func TestInvalidateMembership_discardsRunningReads(t *testing.T) {
	for name, admit := range map[string]func(*User, chat.ChannelID) error{
		"Admit":    func(u *User, c chat.ChannelID) error { return u.Admit(c) },
		"AdmitAll": func(u *User, c chat.ChannelID) error { return u.AdmitAll(context.Background(), []chat.ChannelID{c})[0] },
	} {
		t.Run(name, func(t *testing.T) { outdatedRead(t, admit) })
	}
}

func outdatedRead(t *testing.T, admit func(*User, chat.ChannelID) error) {
	held, began := make(chan struct{}), make(chan struct{})
	s := &scripted{member: member, held: held, began: began}
	a, u := enter(t, s, nil)
	c := chat.NewChannelID()
	answer := make(chan error)
	go func() { answer <- admit(u, c) }()
	<-began
	s.set(func(s *scripted) { s.member = store.Access{} })
	a.InvalidateMembership(u.id, c)
	close(held)
	if err := <-answer; apierr.CodeOf(err) != apierr.NotFound {
		t.Errorf("the waiting frame: %v, want not_found", err)
	}
	if err := u.Admit(c); apierr.CodeOf(err) != apierr.NotFound {
		t.Errorf("the next frame: %v, want not_found", err)
	}
}

// Confirm must detect a removal that happens between the admission and the subscription.
func TestConfirm_readsAgainAfterARemoval(t *testing.T) {
	s := &scripted{member: member}
	a, u := enter(t, s, nil)
	c := chat.NewChannelID()
	if err := u.Admit(c); err != nil {
		t.Fatal(err)
	}
	u.Hold(c)
	if err := u.Confirm(c); err != nil || len(s.reads) != 1 {
		t.Errorf("without a removal: %v, %d reads, want 1", err, len(s.reads))
	}
	s.set(func(s *scripted) { s.member = store.Access{} })
	a.InvalidateMembership(u.id, c)
	if err := u.Confirm(c); apierr.CodeOf(err) != apierr.NotFound {
		t.Errorf("after a removal: %v, want not_found", err)
	}
	u.Release(c)
}

func TestInvalidateRole_keepsTheMembership(t *testing.T) {
	s := &scripted{member: store.Access{Role: chat.Admin, Announced: true}}
	a, u := enter(t, s, nil)
	c := chat.NewChannelID()
	if role, err := u.Role(c); role != chat.Admin || err != nil {
		t.Fatalf("role %q, %v", role, err)
	}
	s.set(func(s *scripted) { s.err = errors.New("down") })
	a.InvalidateRole(u.id, c)
	if err := u.AdmitWriter(c); err != nil {
		t.Errorf("a member writes while PostgreSQL is down: %v", err)
	}
	if role, err := u.Role(c); apierr.CodeOf(err) != apierr.Unavailable {
		t.Errorf("role %q, %v; want unavailable: an admin may have been demoted", role, err)
	}
	s.set(func(s *scripted) { s.err, s.member.Role = nil, chat.Member })
	if role, err := u.Role(c); role != chat.Member || err != nil {
		t.Errorf("role %q, %v; want member", role, err)
	}
}

func TestOutage_cachedMembershipsStayValid(t *testing.T) {
	s := &scripted{member: member}
	a, u := enter(t, s, func(cfg *Config) { cfg.VerifyEvery = time.Millisecond })
	c, other := chat.NewChannelID(), chat.NewChannelID()
	if err := errors.Join(u.Admit(c), u.AdmitWriter(c)); err != nil {
		t.Fatal(err)
	}
	s.set(func(s *scripted) { s.err = errors.New("down") })
	time.Sleep(2 * time.Millisecond) // so that the entry has expired, whatever the resolution of the clock
	if err := errors.Join(append(u.AdmitAll(t.Context(), []chat.ChannelID{c}), u.AdmitWriter(c))...); err != nil {
		t.Errorf("cached: %v", err)
	}
	if err := u.Admit(other); apierr.CodeOf(err) != apierr.Unavailable {
		t.Errorf("not cached: %v, want unavailable", err)
	}
	a.InvalidateMembership(u.id, c)
	if err := u.Admit(c); apierr.CodeOf(err) != apierr.Unavailable {
		t.Errorf("removed: %v, want unavailable", err)
	}
}

func TestAdmitAll_makesOneRead(t *testing.T) {
	s := &scripted{}
	_, u := enter(t, s, nil)
	ids := make([]chat.ChannelID, 2300)
	for i := range ids {
		ids[i] = chat.NewChannelID()
	}
	for _, err := range u.AdmitAll(t.Context(), ids) {
		if apierr.CodeOf(err) != apierr.NotFound {
			t.Fatalf("%v, want not_found", err)
		}
	}
	if len(s.reads) != 1 || len(s.reads[0]) != len(ids) {
		t.Errorf("%d reads", len(s.reads))
	}
}

func TestBlocks_changeWithNotices(t *testing.T) {
	type change struct{ added, lifted []chat.UserID }
	changes := make(chan change, 10)
	s := &scripted{member: member}
	a, u := enter(t, s, func(cfg *Config) {
		cfg.Blocked = func(_ chat.UserID, added, lifted []chat.UserID) { changes <- change{added, lifted} }
	})
	other := chat.NewUserID()
	if err := u.LoadBlocks(t.Context()); err != nil || a.AnyBlocks() || a.BlockedWith(other) != nil {
		t.Fatalf("at first: %v", err)
	}
	s.set(func(s *scripted) { s.blocks = []chat.UserID{other} })
	a.InvalidateBlocks(u.id)
	if c := <-changes; len(c.added) != 1 || c.added[0] != other || len(c.lifted) > 0 {
		t.Errorf("after the block: %+v", c)
	}
	if _, blocked := a.BlockedWith(other)[u.id]; !blocked || !a.AnyBlocks() || !a.HasBlocks(u.id) || !u.HasBlock(other) {
		t.Error("the block is not cached")
	}
	s.set(func(s *scripted) { s.blocks = nil })
	a.InvalidateBlocks(u.id)
	if c := <-changes; len(c.lifted) != 1 || c.lifted[0] != other || len(c.added) > 0 {
		t.Errorf("after it was lifted: %+v", c)
	}
	if a.BlockedWith(other) != nil || a.AnyBlocks() {
		t.Error("the block is still cached")
	}
}

// Leave must remove everything that was cached for the user, and the number of cached memberships
// that no connection holds must be limited.
func TestCache_isBoundedAndEmptyAfterLeave(t *testing.T) {
	s := &scripted{member: member, blocks: []chat.UserID{chat.NewUserID()}}
	a, u := enter(t, s, nil)
	held := chat.NewChannelID()
	u.Hold(held)
	u.Learn(u.Generation(), held, member)
	for range maxUnheld + 500 {
		u.Learn(u.Generation(), chat.NewChannelID(), member)
	}
	if e, _ := u.channels.Get(held); u.channels.Len() != maxUnheld+1 || u.unheld != maxUnheld || !e.known {
		t.Errorf("%d memberships, %d of them unheld", u.channels.Len(), u.unheld)
	}
	if err := u.LoadBlocks(t.Context()); err != nil || !a.AnyBlocks() {
		t.Fatalf("blocks: %v", err)
	}
	u.Release(held)
	a.Leave(u, login.Session)
	if len(a.users) != 0 || a.AnyBlocks() {
		t.Errorf("%d users left, blocks: %v", len(a.users), a.AnyBlocks())
	}
	for i := range a.blockIndex.shards {
		if len(a.blockIndex.shards[i].sets) > 0 {
			t.Error("an index of blocks is left")
		}
	}
}

// Verification must detect, within Config.VerifyEvery, a change whose notice was lost.
func TestVerify_expelsAndUpdatesRoles(t *testing.T) {
	expelled := make(chan chat.ChannelID, 100)
	s := &scripted{member: store.Access{Role: chat.Admin, Announced: true}}
	_, u := enter(t, s, func(cfg *Config) {
		cfg.VerifyEvery = 20 * time.Millisecond
		cfg.Expelled = func(_ chat.UserID, c chat.ChannelID) {
			select {
			case expelled <- c:
			default:
			}
		}
	})
	c := chat.NewChannelID()
	if err := u.Admit(c); err != nil {
		t.Fatal(err)
	}
	u.Hold(c)
	s.set(func(s *scripted) { s.member.Role = chat.Member })
	testkit.Until(t, testkit.Timeout, func() error {
		if role, err := u.Role(c); role != chat.Member || err != nil {
			return fmt.Errorf("role %q, %v", role, err)
		}
		return nil
	})
	s.set(func(s *scripted) { s.member = store.Access{} })
	if got := <-expelled; got != c {
		t.Errorf("expelled from %v, want %v", got, c)
	}
}
