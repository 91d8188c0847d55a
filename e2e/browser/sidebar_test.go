package browser_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// TestSwitcherFinds checks that the switcher finds people, public channels, and offers to create a
// channel.
func TestSwitcherFinds(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bobby")
	garden := w.channel(bob, "gardening", "public")
	w.channel(ann, "tea", "public")
	p := w.person("ann")
	p.logIn("/")
	find1 := func(text, result string) {
		t.Helper()
		p.press("k", ctrl)
		p.fill(find("switcher-field"), text)
		p.until(fmt.Sprintf(`document.querySelector('[data-testid="switcher-result"]')?.textContent.includes(%s) === true`, quote(result)))
		p.press(kb.Enter)
	}
	find1("bob", "@bobby")
	p.gone(find("dialog"))
	p.until(`document.querySelector('[data-testid="channel-title"]')?.textContent === "bobby"`)
	find1("garden", "gardening")
	p.gone(find("dialog"))
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+garden)))
	p.await(find("composer"))
	find1("#brand-new", "#brand-new")
	p.until(`document.querySelector('[data-testid="channel-name"]')?.value === "brand-new"`)
	p.press(kb.Enter)
	p.gone(find("dialog"))
	p.until(`document.querySelector('[data-testid="channel-title"]')?.textContent === "brand-new"`)
}

// TestSections checks the account menu, groups as headings, and starred and muted channels.
func TestSections(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea := w.channel(ann, "tea", "public")
	w.join(bob, tea)
	var group, inGroup struct{ ID string }
	w.call("POST", "/v1/groups", ann.Token, map[string]any{"name": "Kitchen"}, &group)
	w.call("POST", "/v1/channels", ann.Token, map[string]any{"name": "ovens", "kind": "public", "group_id": group.ID}, &inGroup)
	p := w.person("ann")
	p.logIn("/")
	section := func(channel, heading string) {
		t.Helper()
		p.until(fmt.Sprintf(`document.querySelector('[data-channel-id="%s"]')?.closest("section").querySelector("h2").textContent.trim() === %s`, channel, quote(heading)))
	}
	section(inGroup.ID, "Kitchen")
	section(tea, "Channels")
	p.openChannel(tea)
	p.click(find("channel-settings"))
	p.click(find("star"))
	p.click(find("mute"))
	p.press(kb.Escape)
	p.gone(find("dialog"))
	p.showList()
	section(tea, "Starred")
	p.open("/c/" + inGroup.ID)
	p.connected()
	w.say(bob, tea, "psst")
	p.until(fmt.Sprintf(`document.querySelector('[data-channel-id="%s"][data-unread="1"]:not(.channel-unread)') !== null`, tea))
	if title := value[string](p, `document.title`); title != "#ovens – Parley" {
		t.Errorf("the title is %q although only a muted channel is unread", title)
	}
	w.say(bob, tea, "@ann, psst")
	p.until(fmt.Sprintf(`document.querySelector('[data-channel-id="%s"] [data-testid="mention-badge"]') !== null`, tea))

	// The account menu by keyboard.
	p.showList()
	value[any](p, fmt.Sprintf(`(document.querySelector(%s).focus(), null)`, quote(find("account-menu"))))
	p.press(kb.Enter)
	p.until(focused(find("open-settings")))
	p.accessible("the account menu")
	p.press(kb.Escape)
	p.until(focused(find("account-menu")))
	p.press(kb.Enter)
	p.until(focused(find("open-settings")))
	p.press(kb.ArrowDown + kb.ArrowDown + kb.Enter)
	p.await(find("dialog") + " .shortcuts")
	p.press(kb.Escape)
	p.until(focused(find("account-menu")))
}
