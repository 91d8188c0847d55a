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
	p.click(find("confirm"))
	p.gone(find("block"))
	p.until(`document.activeElement.closest('[data-testid="dialog"]') !== null && document.activeElement !== document.body`)
	p.press(kb.Escape)
	p.gone(find("dialog"))
	p.click(find("remove-member"))
	p.click(find("confirm-remove"))
	p.gone(find("member", fmt.Sprintf(`[data-user-id="%s"]`, bob.ID)))
	p.until(`document.activeElement !== document.body`)
}

// TestDialogsClose checks that Back and a single Escape close a dialog, and where the focus goes.
func TestDialogsClose(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	w.account("bob")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	p := w.person("ann")
	p.logIn("/c/" + tea)
	p.click(find("channel-link", fmt.Sprintf(`[data-channel-id="%s"]`, work)))
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+work)))
	p.click(find("channel-settings"))
	p.await(find("dialog"))
	value[any](p, `(history.back(), null)`)
	p.gone(find("dialog"))
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+work)))
	p.until(fmt.Sprintf(`document.querySelector('[data-testid="channel-title"]').textContent === "work" && %s`, focused(find("channel-settings"))))

	p.click(find("new-direct"))
	p.fill(find("user-search"), "bob")
	p.await(find("user-result"))
	p.press(kb.Escape)
	p.gone(find("dialog"))

	made := p.create("new", "public")
	p.until(fmt.Sprintf(`location.pathname === %s && %s`, quote("/c/"+made), focused(find("composer"))))
}
