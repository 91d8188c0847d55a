package browser_test

import (
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp/kb"
)

// TestTouch checks that, on a touch screen, Enter starts a new line and the button sends.
func TestTouch(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.channel(ann, "tea", "public")
	p := w.person("ann")
	p.resize(390, 844)
	command(p, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true})
	p.logIn("/c/" + tea)
	p.fill(find("composer"), "one")
	p.press(kb.Enter)
	p.press("two")
	p.until(`document.querySelector('[data-testid="composer"]').value === "one\ntwo"`)
	p.click(find("send"))
	p.until(`document.querySelector('[data-testid="composer"]').value === ""`)
	p.until(`[...document.querySelectorAll('[data-testid="message-body"]')].some(e => /one\s*two/.test(e.innerText))`)
}
