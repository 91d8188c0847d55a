package browser_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/chromedp/chromedp/kb"

	"parley.chat/internal/devkit/testkit"
)

// Actions of users on the page.

// signUp creates an account on the sign-in screen.
func (p *person) signUp() {
	p.t.Helper()
	p.open("/")
	p.enter()
}

// enter creates an account on the sign-in screen that is already open.
func (p *person) enter() {
	p.t.Helper()
	p.click(find("mode-switch"))
	p.fill(find("username"), p.name)
	p.fill(find("email"), p.name+"@example.test")
	p.fill(find("password"), password)
	p.click(find("submit"))
	p.connected()
}

// logIn signs in with an existing account.
func (p *person) logIn(path string) {
	p.t.Helper()
	p.open(path)
	p.fill(find("login"), p.name)
	p.fill(find("password"), password)
	p.click(find("submit"))
	p.connected()
}

// connected waits until the page is up to date.
func (p *person) connected() {
	p.t.Helper()
	p.await(find("connection", `[data-state="up-to-date"]`))
}

// create creates a channel and returns its id.
func (p *person) create(name, kind string) string {
	p.t.Helper()
	p.showList()
	p.click(find("create-channel"))
	p.fill(find("channel-name"), name)
	p.click(find("channel-kind") + fmt.Sprintf(` input[value="%s"]`, kind))
	p.click(find("dialog") + " " + find("submit"))
	p.gone(find("dialog"))
	p.until(fmt.Sprintf(`document.querySelector('[data-testid="channel-title"]')?.textContent.includes(%s) && location.pathname.startsWith("/c/")`, quote(name)))
	return strings.TrimPrefix(value[string](p, "location.pathname"), "/c/")
}

// showList shows the channel list. In a narrow window, an open channel hides it.
func (p *person) showList() {
	p.t.Helper()
	shown := func(selector string) string {
		return fmt.Sprintf(`document.querySelector(%s)?.getClientRects().length > 0`, quote(selector))
	}
	p.until(shown(find("back")) + " || " + shown(find("account-menu"))) // neither is shown while a channel is loading
	if value[bool](p, shown(find("back"))) {
		p.click(find("back"))
	}
}

// openChannel opens a channel from the list.
func (p *person) openChannel(id string) {
	p.t.Helper()
	p.showList()
	p.click(channelLink(id))
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+id)))
}

// lists waits until the selector matches an entry of the channel list, which may be hidden.
func (p *person) lists(selector string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector(%s) !== null`, quote(selector)))
}

// channelLink returns the selector of a channel in the list.
func channelLink(id string) string {
	return find("channel-link", fmt.Sprintf(`[data-channel-id="%s"]`, id))
}

// say sends a message in the open channel.
func (p *person) say(text string) {
	p.t.Helper()
	p.fill(find("composer"), text)
	p.until(fmt.Sprintf(`document.querySelector('[data-testid="composer"]').value === %s`, quote(text)))
	p.press(kb.Enter)
	p.until(`document.querySelector('[data-testid="composer"]').value === ""`)
}

// message returns the selector of a message's row.
func message(seq int64) string { return find("message", fmt.Sprintf(`[data-seq="%d"]`, seq)) }

// actFromMenu chooses an action in the menu of a message.
func (p *person) actFromMenu(row, action string) {
	p.t.Helper()
	item := find("popover") + " " + find(action)
	testkit.Until(p.t, testkit.Timeout, func() error {
		p.pops(row, "more-actions", find(action))
		if !value[bool](p, fmt.Sprintf(`(() => { const e = document.querySelector(%s); e?.click(); return e !== null })()`, quote(item))) {
			return errors.New("the menu has closed")
		}
		return nil
	})
	p.gone(find("popover") + ` [role="menu"]`)
}

// reads waits until a message with this text is in the document.
func (p *person) reads(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`[...document.querySelectorAll('[data-testid="message-body"]')].some(e => e.textContent.trim() === %s)`, quote(text)))
}

// bodies returns the texts of all messages in the document, in order.
func (p *person) bodies() []string {
	p.t.Helper()
	return value[[]string](p, `[...document.querySelectorAll('[data-testid="message-body"]')].map(e => e.textContent.trim())`)
}

// openSettings opens a tab of the settings.
func (p *person) openSettings(tab string) {
	p.t.Helper()
	p.showList()
	p.click(find("account-menu"))
	p.click(find("open-settings"))
	p.click("#tab-" + tab)
	p.await(fmt.Sprintf(`#tab-%s[aria-selected="true"]`, tab))
}
