package browser_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp/kb"
)

// labelled waits until the element is in the document and has the accessible label.
func (p *person) labelled(selector, label string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector(%s)?.getAttribute("aria-label") === %s`, quote(selector), quote(label)))
}

// prefersLanguage sets the browser's preferred language for pages that are opened from now on.
func (p *person) prefersLanguage(tag string) {
	p.t.Helper()
	command(p, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: value[string](p, "navigator.userAgent"), AcceptLanguage: tag})
}

// TestLanguage checks that a user can choose another language, which is loaded only then, and that
// the choice is kept.
func TestLanguage(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.channel(ann, "tea", "public")
	p := w.person("ann")
	p.prefersLanguage("en-US") // even in a variant with another language
	p.logIn("/c/" + tea)
	p.labelled(find("composer"), "Message #tea")
	const loaded = `performance.getEntriesByType("resource").filter(e => /\/assets\/de-/.test(e.name)).length`
	if n := value[int](p, loaded); n != 0 {
		t.Errorf("%d German catalogues are loaded for an English page", n)
	}
	p.openSettings("appearance")
	p.click(find("language") + ` input[value="de"]`)
	p.until(`document.documentElement.lang === "de"`)
	p.accessible("settings in German")
	p.press(kb.Escape)
	p.gone(find("dialog"))
	p.openChannel(tea)
	p.labelled(find("composer"), "Nachricht an #tea")
	p.open("/c/" + tea)
	p.connected()
	p.labelled(find("composer"), "Nachricht an #tea")
	p.until(loaded + ` === 1`)
}
