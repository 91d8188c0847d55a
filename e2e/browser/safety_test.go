package browser_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// focused returns a script that reports whether the focused element matches the selector.
func focused(selector string) string {
	return fmt.Sprintf(`document.activeElement?.matches(%s) === true`, quote(selector))
}

// disabled reports whether the control exists and is disabled.
func (p *person) disabled(selector string) bool {
	p.t.Helper()
	p.await(selector)
	return value[bool](p, fmt.Sprintf(`document.querySelector(%s).disabled === true`, quote(selector)))
}

// TestDestroying checks that nothing final happens without a question, and that the focus is never
// lost afterwards.
func TestDestroying(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "private")
	w.join(bob, tea)
	p := w.person("ann")
	p.logIn("/c/" + work)

	// A double click does not delete a channel; its name does.
	p.click(find("channel-settings"))
	p.click(find("delete-channel"))
	p.await(find("confirm-name"))
	value[any](p, fmt.Sprintf(`(document.querySelector(%s).click(), null)`, quote(find("delete-channel"))))
	p.accessible("the question before a channel is deleted")
	if !p.disabled(find("confirm")) {
		t.Error("a channel can be deleted without its name")
	}
	p.fill(find("confirm-name"), "wor")
	if !p.disabled(find("confirm")) {
		t.Error("a channel can be deleted with a part of its name")
	}
	p.press(kb.Escape)
	p.gone(find("confirm"))
	p.await(find("delete-channel")) // the dialog below the question

	// The last member is asked, and may delete the channel instead.
	p.click(find("leave-channel"))
	p.await(find("confirm"))
	p.click(find("alternative"))
	p.fill(find("confirm-name"), "work")
	p.press(kb.Enter)
	p.gone(find("dialog"))
	p.until(`location.pathname === "/"`)
	p.gone(find("channel-link", fmt.Sprintf(`[data-channel-id="%s"]`, work)))
	p.until(`document.activeElement !== document.body`)

	// A member who can join again can undo leaving.
	b := w.person("bob")
	b.logIn("/c/" + tea)
	b.expectFailures(true) // requests that are under way when the user leaves have status 403
	b.click(find("channel-settings"))
	b.click(find("leave-channel"))
	b.await(find("undo"))
	b.until(`location.pathname === "/"`)
	b.click(find("undo"))
	b.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+tea)))
	b.await(find("composer"))

	// An owner is asked, because the role would be lost. Removing a member and blocking ask too.
	p.open("/c/" + tea)
	p.connected()
	p.click(find("channel-settings"))
	p.click(find("leave-channel"))
	p.await(find("confirm"))
	p.press(kb.Escape)
	p.gone(find("confirm"))
	p.press(kb.Escape)
	p.gone(find("dialog"))
	p.click(find("toggle-members"))
	p.click(find("member", fmt.Sprintf(`[data-user-id="%s"] .member-who`, bob.ID)))
	p.click(find("block"))
	p.await(find("confirm"))
	p.accessible("the question before a user is blocked")
	p.press(kb.Enter) // the focus is on Cancel
	p.gone(find("confirm"))
	p.await(find("block"))
	p.click(find("block"))
	end := p.edges(find("confirm"))
	p.click(find("confirm"))
	p.gone(find("block"))
	if unblock := p.edges(find("unblock")); unblock.right > end.left && unblock.left < end.right && unblock.bottom > end.top && unblock.top < end.bottom {
		t.Errorf("a double click on the button that blocks would unblock: %v, %v", end, unblock)
	}
	p.until(`document.activeElement.closest('[data-testid="popover"]') !== null`)
	p.press(kb.Escape)
	p.gone(find("popover"))
	p.click(find("remove-member"))
	p.click(find("confirm-remove"))
	p.gone(find("member", fmt.Sprintf(`[data-user-id="%s"]`, bob.ID)))
	p.until(`document.activeElement !== document.body`)
}

// edges are the edges of an element, in CSS pixels.
type edges struct{ left, top, right, bottom float64 }

func (p *person) edges(selector string) edges {
	p.t.Helper()
	p.await(selector)
	at := value[[]float64](p, fmt.Sprintf(`(() => { const r = document.querySelector(%s).getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom] })()`, quote(selector)))
	return edges{at[0], at[1], at[2], at[3]}
}

// goBack goes back by one entry of the browser's history, as the Back button does.
func (p *person) goBack() {
	p.t.Helper()
	value[any](p, `(history.back(), null)`)
}

// TestDialogsClose checks that Back and a single Escape close a dialog, and where the focus goes.
func TestDialogsClose(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	w.account("bob")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	p := w.person("ann")
	p.logIn("/c/" + tea)
	p.openChannel(work)
	p.click(find("channel-settings"))
	p.await(find("dialog"))
	p.goBack()
	p.gone(find("dialog"))
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+work)))
	p.until(fmt.Sprintf(`document.querySelector('[data-testid="channel-title"]').textContent === "work" && %s`, focused(find("channel-settings"))))

	// With a question on top, Back closes only the question.
	p.click(find("channel-settings"))
	p.click(find("leave-channel"))
	p.await(find("confirm"))
	p.goBack()
	p.gone(find("confirm"))
	p.await(find("leave-channel"))
	p.goBack()
	p.gone(find("dialog"))
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+work)))

	p.showList()
	p.click(find("new-direct"))
	p.fill(find("user-search"), "bob")
	p.await(find("user-result"))
	p.press(kb.Escape)
	p.gone(find("dialog"))

	made := p.create("new", "public")
	p.until(fmt.Sprintf(`location.pathname === %s && %s`, quote("/c/"+made), focused(find("composer"))))

	// On the first entry of the page, Back closes dialogs too. Without one, it leaves the page.
	p.open("/c/" + tea)
	p.connected()
	value[any](p, `(window.marked = true, null)`)
	for range 2 {
		p.click(find("channel-settings"))
		p.await(find("dialog"))
		p.goBack()
		p.gone(find("dialog"))
		p.until(fmt.Sprintf(`window.marked && location.pathname === %s && document.querySelector('[data-testid="channel-title"]').textContent === "tea"`, quote("/c/"+tea)))
	}
	p.click(find("channel-settings"))
	p.await(find("dialog"))
	p.press(kb.Escape)
	p.gone(find("dialog"))
	p.expectFailures(true) // Chromium reports that the page's WebSocket is closed
	p.goBack()
	p.until(fmt.Sprintf(`window.marked === undefined && location.pathname === %s`, quote("/c/"+made)))
}

// TestFocusAfterMouse checks where the focus goes after a dialog that was opened with the mouse
// from a control that is gone by then: to the message, and never to another channel.
func TestFocusAfterMouse(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	w.channel(ann, "a", "public")
	tea := w.channel(ann, "tea", "public")
	w.say(ann, tea, "one")
	w.say(ann, tea, "two")
	p := w.person("ann")
	p.logIn("/c/" + tea)
	p.reads("two")
	seq := value[int64](p, `Number([...document.querySelectorAll('[data-testid="message"]')].at(-1).dataset.seq)`)
	for _, button := range []string{"dialog-close", "confirm-delete"} {
		p.actFromMenu(message(seq), "delete")
		p.await(find("confirm-delete"))
		p.hover(find("confirm-delete")) // the toolbar disappears
		p.click(find(button))
		p.gone(find("dialog"))
		p.until(focused(message(seq)))
	}
}

// TestBlocked checks that the message field says that the user has blocked the other, on whichever
// device, and unblocks.
func TestBlocked(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	var dm struct{ ID string }
	w.call("POST", "/v1/dms", ann.Token, map[string]any{"user_id": bob.ID}, &dm)
	w.say(ann, dm.ID, "before")
	w.call("POST", "/v1/contacts/"+bob.ID+"/block", ann.Token, nil, nil)
	p := w.person("ann")
	p.logIn("/c/" + dm.ID)
	p.reads("before")
	p.await(find("composer-blocked"))
	p.gone(find("composer"))
	p.until(`document.querySelector('[data-testid="composer-blocked"]').textContent.includes("bob")`)
	p.accessible("a conversation with a blocked user")
	p.click(find("unblock"))
	p.await(find("composer"))
	p.gone(find("composer-blocked"))
	p.say("after")
	p.reads("after")

	// A block made on another device takes effect after a reconnection.
	w.call("POST", "/v1/contacts/"+bob.ID+"/block", ann.Token, nil, nil)
	p.expectFailures(true)
	w.proxy.sever()
	p.gone(find("connection", `[data-state="up-to-date"]`))
	w.proxy.mend()
	p.await(find("composer-blocked"))
}

// TestEditButtons checks that the buttons below a message that is being edited are in view.
func TestEditButtons(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.channel(ann, "tea", "public")
	for i := range 40 {
		w.say(ann, tea, fmt.Sprintf("message %d", i))
	}
	p := w.person("ann")
	p.logIn("/c/" + tea)
	p.reads("message 39")
	p.until(focused(find("composer")))
	p.press(kb.ArrowUp)
	p.await(find("edit-save"))
	const inView = `(() => {
		const button = document.querySelector('[data-testid="edit-save"]').getBoundingClientRect();
		const list = document.querySelector('[data-testid="message-list"]').getBoundingClientRect();
		return button.top >= list.top && button.bottom <= list.bottom })()`
	p.until(inView)
	for range 6 {
		p.press(kb.Enter, shift)
		p.press("more")
	}
	p.until(inView)
}

// TestSmallThings checks what a careful product does without being asked.
func TestSmallThings(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.channel(ann, "tea", "public")
	p := w.person("ann")
	p.expectFailures(true) // the page of an unknown address has status 404
	p.open("/nothing/here")
	p.await(find("login"))
	p.expectFailures(false)
	for _, path := range []string{"/favicon.ico", "/manifest.webmanifest", "/icon-192.png", "/icon-512.png", "/icon-maskable-512.png"} {
		if status := value[int](p, fmt.Sprintf(`fetch(%s).then(r => r.status)`, quote(path))); status != 200 {
			t.Errorf("GET %s = %d", path, status)
		}
	}
	p.logIn("/c/" + tea)

	// Dropping a file says something, and the toast does not cover the send button.
	p.dropFile()
	p.focusOn(find("toast") + " button") // keeps it shown
	p.clearOfToasts(find("send"), p.variant.width)

	// Signing out inside a channel must not claim an invitation, or a sign-out on another device.
	p.openSettings("sessions")
	p.await(find("session", `[data-current]`))
	other := find("session", ":not([data-current])")
	p.click(other + " " + find("revoke-session"))
	p.gone(other + " " + find("revoke-session"))
	p.await(other) // its row stays, so that no other button moves under the pointer
	p.expectFailures(true)
	p.click(find("log-out"))
	p.await(find("login"))
	p.until(`location.pathname === "/" && document.querySelector(".notice") === null`)
}
