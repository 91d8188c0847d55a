package browser_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var (
	ctrl  = input.DispatchKeyEventParams{Modifiers: int64(chromedp.ModifierCtrl)}
	alt   = input.DispatchKeyEventParams{Modifiers: int64(chromedp.ModifierAlt)}
	shift = input.DispatchKeyEventParams{Modifiers: int64(chromedp.ModifierShift)}
)

// TestKeyboard checks that everything works without a mouse, using the shortcuts that the page
// lists.
func TestKeyboard(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	for _, c := range []string{tea, work} {
		w.join(bob, c)
	}
	w.say(ann, work, "hello from ann")
	p := w.person("bob")
	p.open("/")
	p.await(find("login"))
	p.tabTo(find("login"))
	p.press("bob" + kb.Tab + password + kb.Enter)
	p.connected()

	// Switch to a channel by its name.
	p.press("k", ctrl)
	p.await(find("switcher-field"))
	p.press("wor")
	p.await(find("switcher-result"))
	p.press(kb.Enter)
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+work)))
	p.reads("hello from ann")

	// Write in the focused composer, and edit the message with the arrow key.
	p.until(`document.activeElement?.dataset.testid === "composer"`)
	p.press("one" + kb.Enter)
	p.reads("one")
	p.until(status("sent"))
	p.press("two")
	p.press(kb.Enter, shift)
	p.press("lines" + kb.Enter)
	p.until(`[...document.querySelectorAll('[data-testid="message-body"]')].some(e => /two\s*lines/.test(e.innerText))`)
	p.until(status("sent"))
	p.press(kb.ArrowUp)
	p.until(`document.activeElement?.dataset.testid === "edit-field"`)
	p.press("a", ctrl)
	p.press("mended" + kb.Enter)
	p.until(`[...document.querySelectorAll('[data-testid="message-body"]')].some(e => e.textContent.includes("mended"))`)

	// Move to a message and react to it.
	p.until(`document.activeElement?.dataset.testid === "composer"`)
	p.back(find("message"))
	newest := value[string](p, `document.activeElement.dataset.seq`)
	p.press(kb.ArrowUp)
	p.until(fmt.Sprintf(`document.activeElement.dataset.testid === "message" && document.activeElement.dataset.seq < %s`, newest))
	seq := value[int64](p, `Number(document.activeElement.dataset.seq)`)
	p.press("+")
	p.until(focused(find("emoji-field")))
	p.press("🧉" + kb.Enter)
	p.until(fmt.Sprintf(`document.querySelector(%s)?.textContent.includes("🧉") === true`, quote(message(seq)+" "+find("reaction"))))

	// A dialog keeps the focus inside. Escape closes it and returns the focus.
	p.press("k", ctrl)
	p.await(find("switcher-field"))
	for range 12 {
		p.press(kb.Tab)
		// After the last control, the focus moves to the browser's own toolbar; document.body
		// stands for it.
		if !value[bool](p, `document.activeElement === document.body || document.activeElement.closest('[data-testid="dialog"]') !== null`) {
			t.Fatal("Tab leaves the dialog")
		}
	}
	p.press(kb.Escape)
	p.gone(find("dialog"))
	if value[bool](p, `document.activeElement === document.body`) {
		t.Error("the focus is lost after the dialog closes")
	}
}

// tabTo presses Tab until the element has the focus.
func (p *person) tabTo(selector string) { p.t.Helper(); p.walk(selector) }

// back presses Shift+Tab until the element has the focus.
func (p *person) back(selector string) { p.t.Helper(); p.walk(selector, shift) }

func (p *person) walk(selector string, how ...input.DispatchKeyEventParams) {
	p.t.Helper()
	for range 60 {
		if value[bool](p, fmt.Sprintf(`document.activeElement?.matches(%s) === true`, quote(selector))) {
			if !value[bool](p, `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== "none" || s.boxShadow !== "none" })()`) {
				p.t.Errorf("%s has the focus but no visible focus indicator", selector)
			}
			return
		}
		p.press(kb.Tab, how...)
	}
	p.t.Fatalf("Tab never reaches %s", selector)
}
