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
	p.inSection(inGroup.ID, "Kitchen")
	p.inSection(tea, p.variant.words().channels)
	p.openChannel(tea)
	p.click(find("channel-settings"))
	p.click(find("star"))
	p.click(find("mute"))
	p.press(kb.Escape)
	p.gone(find("dialog"))
	p.showList()
	p.inSection(tea, p.variant.words().starred)
	p.open("/c/" + inGroup.ID)
	p.connected()
	p.await(find("composer")) // it takes the focus
	p.painted()
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
	p.press(kb.ArrowDown + kb.Enter)
	p.await(find("dialog") + " .shortcuts")
	p.press(kb.Escape)
	p.until(focused(find("account-menu")))
}

// TestOwnSections checks the sections that users define: they are created, filled from a channel's
// details and with the keyboard, renamed, moved, deleted and restored, and they survive a reload.
func TestOwnSections(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	var dm struct{ ID string }
	w.call("POST", "/v1/dms", ann.Token, map[string]any{"user_id": bob.ID}, &dm)
	p := w.person("ann")
	texts := p.variant.words()
	p.logIn("/")
	target := func(n int) string { return fmt.Sprintf("li:nth-child(%d) > %s", n, find("move-target")) } // the first one is the default
	editOf := func(section string) string {
		return fmt.Sprintf(`section[data-section="%s"] `, section) + find("edit-section")
	}

	// An empty section says how to fill it.
	p.showList()
	p.click(find("new-section"))
	p.fill(find("section-name"), "Projects"+kb.Enter)
	p.gone(find("dialog"))
	p.sections("Projects", texts.channels, texts.direct)
	p.until(`document.querySelector('section[data-section="Projects"] .section-empty') !== null`)
	p.accessible("an empty section")

	// With the keyboard. The focus follows the channel.
	value[any](p, fmt.Sprintf(`(document.querySelector(%s).focus(), null)`, quote(channelLink(tea))))
	p.press("m")
	p.until(focused(find("move-target")))
	p.accessible("the dialog that moves a channel")
	p.tabTo(target(2))
	p.press(kb.Enter)
	p.gone(find("dialog"))
	p.inSection(tea, "Projects")
	p.until(focused(channelLink(tea)))

	// From the channel's details, into a new section; a direct message from the person's.
	p.openChannel(work)
	p.click(find("channel-settings"))
	p.click(find("move-channel"))
	p.click(find("dialog") + " " + find("new-section"))
	p.fill(find("section-name"), "Later"+kb.Enter)
	p.gone(find("dialog"))
	p.inSection(work, "Later")
	p.openChannel(dm.ID)
	p.click(find("channel-settings"))
	p.click(find("move-channel"))
	p.click(target(2))
	p.gone(find("dialog"))
	p.inSection(dm.ID, "Projects")

	// Rename, move up as far as possible.
	p.showList()
	p.click(editOf("Later"))
	p.click(find("section-up"))
	p.click(find("section-up"))
	p.accessible("the dialog of a section")
	p.fill(find("section-name"), " today"+kb.Enter)
	p.gone(find("dialog"))
	p.sections("Later today", "Projects", texts.channels, texts.direct)
	p.inSection(work, "Later today")

	// Deleting a section moves its channels to their default ones, and can be undone.
	p.click(editOf("Projects"))
	p.click(find("delete-section"))
	p.inSection(tea, texts.channels)
	p.inSection(dm.ID, texts.direct)
	p.click(find("undo"))
	p.inSection(tea, "Projects")
	p.open("/")
	p.connected()
	p.sections("Later today", "Projects", texts.channels, texts.direct)
	p.inSection(tea, "Projects")
	p.inSection(dm.ID, "Projects")
}

// sections waits until the channel list has these sections, in this order.
func (p *person) sections(names ...string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`JSON.stringify([...document.querySelectorAll("section[data-section]")].map(s => s.dataset.section)) === %s`, quote(quote(names))))
}

// inSection waits until a channel is in the section with this heading.
func (p *person) inSection(channel, heading string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector(%s)?.closest("section").dataset.section === %s`, quote(channelLink(channel)), quote(heading)))
}

// TestNotificationLevel checks that "All messages" can be chosen for a channel, that a channel
// without a choice says that it follows the default, and that another tab does not undo a choice.
func TestNotificationLevel(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	p := w.person("ann")
	texts := p.variant.words()
	p.logIn("/c/" + tea)
	other := p.another()
	other.open("/c/" + work)
	other.connected()
	level := func(p *person, want string) {
		t.Helper()
		p.until(fmt.Sprintf(`document.querySelector(%s)?.selectedOptions[0].textContent === %s`, quote(find("notification-level")), quote(want)))
	}
	p.click(find("channel-settings"))
	level(p, texts.levelDefault)
	p.choose(find("notification-level"), "all")
	level(p, texts.levelAll)
	other.click(find("channel-settings"))
	other.click(find("star"))
	other.choose(find("notification-level"), "none")
	for range 2 {
		p.open("/c/" + tea)
		p.connected()
		p.click(find("channel-settings"))
		level(p, texts.levelAll)
	}
	p.choose(find("notification-level"), "")
	level(p, texts.levelDefault)
	p.open("/c/" + work)
	p.connected()
	p.click(find("channel-settings"))
	level(p, texts.levelNone)
}

// choose selects an option of a select element.
func (p *person) choose(selector, option string) {
	p.t.Helper()
	p.await(selector)
	value[any](p, fmt.Sprintf(`(() => { const e = document.querySelector(%s); e.value = %s; e.dispatchEvent(new Event("change", { bubbles: true })); return null })()`, quote(selector), quote(option)))
}
