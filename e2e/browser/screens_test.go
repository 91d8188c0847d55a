package browser_test

import (
	"fmt"
	"testing"
)

// maxBytes limits what the first page load may transfer.
const maxBytes = 150_000

// TestFirstLoad measures how much data a new visitor and a signed-in user load with an empty cache.
func TestFirstLoad(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.filledChannel(ann, 200)
	p := w.person("ann")
	p.open("/")
	p.await(find("submit"))
	total, requests := p.transferred()
	t.Logf("the sign-in screen: %.0f bytes in %d requests", total, requests)
	if total > maxBytes || requests < 3 {
		t.Errorf("the first load transfers %.0f bytes in %d requests, want at most %d bytes", total, requests, maxBytes)
	}
	p.logIn("/c/" + tea)
	p.reads("message 200")
	total, requests = p.transferred()
	t.Logf("including the chat: %.0f bytes in %d requests", total, requests)
	if total > maxBytes {
		t.Errorf("with the chat, the load transfers %.0f bytes in %d requests, want at most %d bytes", total, requests, maxBytes)
	}
}

// screen is one screen of the page, and the steps that lead to it.
type screen struct {
	name      string
	inChannel bool // the steps start in a channel; on a phone, those of other screens start at the channel list
	show      func(p *person)
}

// opens returns a function that opens a dialog with a control and waits for an element in it.
func opens(control, sign string) func(p *person) {
	return func(p *person) { p.click(find(control)); p.await(find(sign)) }
}

var screens = []screen{
	{"chat", true, func(p *person) { p.reads("See you at four."); p.hover(find("channel-title")) }},
	{"members", true, opens("toggle-members", "member")},
	{"channel-settings", true, opens("channel-settings", "dialog")},
	{"channels", false, func(p *person) { p.await(find("channel-link")) }},
	{"create-channel", false, opens("create-channel", "channel-name")},
	{"browse", false, opens("browse-channels", "browse-result")},
	{"join", false, opens("join-channel", "join-field")},
	{"switcher", false, opens("open-switcher", "switcher-field")},
	{"contacts", false, opens("open-contacts", "dialog")},
	{"groups", false, opens("open-groups", "dialog")},
	{"new-section", false, opens("new-section", "section-name")},
	{"account-menu", false, opens("account-menu", "open-settings")},
	{"settings", false, func(p *person) { p.openSettings("profile"); p.await(find("display-name")) }},
	{"device-settings", false, func(p *person) { p.openSettings("appearance"); p.await(find("language")) }},
	{"sessions", false, func(p *person) { p.openSettings("sessions"); p.await(find("session")) }},
	{"account", false, func(p *person) { p.openSettings("account") }},
	{"shortcuts", false, func(p *person) { p.press("/", ctrl); p.await(find("dialog")) }},
	{"question", true, func(p *person) {
		p.click(find("channel-settings"))
		p.click(find("delete-channel"))
		p.await(find("confirm-name"))
	}},
}

// TestScreens checks that every screen is accessible in light and dark, and fits narrow and wide
// windows. It writes screenshots into screenshots/.
func TestScreens(t *testing.T) {
	w := newWorld(t)
	tea := w.scene()
	for _, width := range []int64{1440, 768, 360} {
		p := w.person("ann")
		p.resize(width, 900)
		p.open("/")
		p.await(find("submit"))
		p.checkScreen("sign-in", width)
		p.logIn("/c/" + tea)
		for _, s := range screens {
			path := "/"
			if s.inChannel || width > 500 {
				path = "/c/" + tea
			}
			p.open(path)
			p.connected()
			s.show(p)
			p.checkScreen(s.name, width)
			if value[bool](p, `document.querySelector('[data-testid="dialog"]') !== null`) {
				value[any](p, `(document.querySelectorAll('[data-testid="dialog-close"]').forEach(b => b.click()), null)`)
				p.gone(find("dialog"))
			}
			if s.name == "members" {
				p.click(find("close-members"))
			}
		}
	}
}

// TestMembersDrawer checks that the page remembers whether the members are shown only where there
// is room for them. In a narrower window, they would cover the messages of every channel.
func TestMembersDrawer(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	p := w.person("ann")
	p.resize(900, 800)
	p.logIn("/c/" + tea)
	p.click(find("toggle-members"))
	p.await(find("member"))
	p.openChannel(work)
	p.gone(find("members"))
	p.click(find("toggle-members"))
	p.await(find("member"))
	p.open("/c/" + work)
	p.connected()
	p.gone(find("members"))

	p.resize(1280, 800)
	p.click(find("toggle-members"))
	p.await(find("member"))
	p.openChannel(tea)
	p.await(find("members"))
	p.open("/c/" + tea)
	p.await(find("members"))
	p.resize(900, 800)
	p.gone(find("members"))
}

// TestMembersBack checks that Back closes the members where they cover the messages, and only
// there.
func TestMembersBack(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	p := w.person("ann")
	p.resize(390, 844)
	p.logIn("/c/" + tea) // on the first entry of the page
	p.click(find("toggle-members"))
	p.await(find("member"))
	p.goBack()
	p.gone(find("members"))
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+tea)))

	p.resize(900, 800)
	p.openChannel(work)
	p.click(find("toggle-members"))
	p.click(find("member") + " .member-who")
	p.await(find("dialog"))
	p.goBack()
	p.gone(find("dialog"))
	p.await(find("members"))
	p.goBack()
	p.gone(find("members"))
	p.until(fmt.Sprintf(`location.pathname === %s && %s`, quote("/c/"+work), focused(find("composer"))))
	p.goBack()
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+tea)))

	// Beside the messages, the members are no layer of their own.
	p.resize(1280, 800)
	p.click(find("toggle-members"))
	p.await(find("member"))
	p.openChannel(work)
	p.goBack()
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+tea)))
	p.await(find("members"))
}

// checkScreen checks the current screen and takes screenshots in light and dark.
func (p *person) checkScreen(name string, width int64) {
	p.t.Helper()
	where := fmt.Sprintf("%s at %d px", name, width)
	p.fitsWidth(where)
	p.accessible(where)
	p.screenshot(fmt.Sprintf("%s-%d", name, width))
	p.scheme("dark")
	p.screenshot(fmt.Sprintf("%s-%d-dark", name, width))
	p.scheme("light")
}

// scene creates a channel with a conversation.
func (w *world) scene() (tea string) {
	w.t.Helper()
	ann, bob, cleo := w.account("ann"), w.account("bob"), w.account("cleo")
	for who, name := range map[account]string{ann: "Ann Amari", bob: "Bob Brandt", cleo: "Cleo Castro"} {
		w.call("PATCH", "/v1/me", who.Token, map[string]any{"display_name": name}, nil)
	}
	tea = w.channel(ann, "tea-room", "public")
	w.call("PATCH", "/v1/channels/"+tea, ann.Token, map[string]any{"description": "Where the kettle is always on"}, nil)
	for _, name := range []string{"release-42", "design", "on-call", "random"} {
		id := w.channel(bob, name, "public")
		w.join(ann, id)
		w.say(bob, id, "The build is green again.")
		if name == "on-call" {
			w.say(bob, id, "@ann can you look at the lag on partition 3?")
		}
	}
	w.channel(cleo, "gardening", "public")
	w.channel(ann, "plans", "private")
	w.join(bob, tea)
	w.join(cleo, tea)
	var dm struct{ ID string }
	w.call("POST", "/v1/dms", bob.Token, map[string]any{"user_id": ann.ID}, &dm)
	w.say(bob, dm.ID, "Coffee instead?")
	for _, line := range []struct {
		who  account
		body string
	}{
		{ann, "Good afternoon! The kettle is on."},
		{bob, "Which one is it today?"},
		{ann, "**Assam**, second flush. Steep it like this:\n```go\ntime.AfterFunc(4*time.Minute, pour)\n```"},
		{cleo, "I read https://example.com/tea on the way here: they say *three* minutes."},
		{bob, "`3 * time.Minute` it is, @ann."},
		{cleo, "Fine. I bring the biscuits."},
		{bob, "See you at four."},
	} {
		w.say(line.who, tea, line.body)
	}
	var end struct {
		LastSeq int64 `json:"last_seq"`
	}
	w.call("GET", "/v1/channels/"+tea, ann.Token, nil, &end)
	w.call("PUT", "/v1/channels/"+tea+"/cursor", bob.Token, map[string]any{"read_seq": end.LastSeq}, nil)
	w.call("PUT", "/v1/channels/"+tea+"/cursor", cleo.Token, map[string]any{"delivered_seq": end.LastSeq, "read_seq": end.LastSeq - 4}, nil)
	return tea
}
