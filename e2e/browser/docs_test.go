package browser_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestDocs checks the documentation: its search, its contents and its links, that it is accessible,
// and that it fits narrow and wide windows.
func TestDocs(t *testing.T) {
	w := newWorld(t)
	p := w.person("ann")
	for _, page := range []struct{ name, path string }{{"docs", "/docs"}, {"docs-websocket", "/docs/websocket"}} {
		for _, width := range []int64{1440, 768, 360} {
			p.resize(width, 900)
			p.open(page.path)
			p.checkScreen(page.name, width)
		}
	}

	// The search leads to an operation, which the contents mark.
	p.resize(1440, 900)
	p.open("/docs")
	p.press("/")
	p.until(`document.activeElement.id === "search"`)
	p.fill("#search", "before_seq")
	p.await(`#search-results a[href="/docs#listMessages.before_seq"]`)
	p.accessible("search results")
	p.screenshot("docs-search")
	p.press(kb.ArrowDown)
	p.press(kb.Enter)
	p.until(`location.hash === "#listMessages.before_seq"`)
	p.until(`document.querySelector("#contents [aria-current=location]")?.hash === "#listMessages"`)
	p.until(`document.getElementById("search-results").hidden`)
	p.screenshot("docs-operation-1440")

	// The search also covers the other page.
	p.fill("#search", " nothing like this")
	p.until(`document.getElementById("search-status").textContent === "0 results"`)
	p.press(kb.Escape)
	p.until(`document.getElementById("search").value === ""`)
	p.fill("#search", "slow consumer")
	p.await(`#search-results a[href="/docs/websocket#close-codes"]`)
	p.press(kb.Enter)
	p.until(`location.pathname + location.hash === "/docs/websocket#close-codes"`)
	p.until(`document.querySelector("#contents [aria-current=location]")?.hash === "#close-codes"`)

	// In a narrow window, a button shows the contents, which close after a choice.
	p.resize(360, 800)
	p.open("/docs")
	if value[bool](p, `document.getElementById("contents").getClientRects().length > 0`) {
		t.Error("the contents cover a narrow window")
	}
	p.click(".menu")
	p.await("#contents:popover-open")
	p.accessible("contents in a narrow window")
	p.screenshot("docs-contents-360")
	p.click(`#contents a[href="#sendMessage"]`)
	p.until(`location.hash === "#sendMessage" && document.querySelector("#contents:popover-open") === null`)
	p.fitsWidth("an operation")
	p.screenshot("docs-operation-360")
	p.click("details summary")
	p.fitsWidth("an operation with the fields of its response")
	p.click(".menu")
	p.click(`#contents a[href="/docs/websocket"]`)
	p.until(`location.pathname === "/docs/websocket"`)
	p.open("/docs/websocket#limits")
	p.fitsWidth("a wide table")
	p.screenshot("docs-table-360")

	// Without scripts, everything but the search is there.
	command(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	for _, width := range []int64{1440, 360} {
		p.resize(width, 900)
		p.open("/docs#createChannel")
		where := fmt.Sprintf("/docs without scripts at %d px", width)
		if !value[bool](p, `document.querySelector(".search").getClientRects().length === 0`) {
			t.Errorf("%s shows the search", where)
		}
		if y := value[float64](p, `document.getElementById("createChannel").getBoundingClientRect().top`); y < 0 || y > float64(p.variant.text(200)) {
			t.Errorf("%s: the operation is at %.0f px, want it below the bar", where, y)
		}
		p.fitsWidth(where)
	}
	p.do("click the menu", chromedp.Click(chromedp.CSS(".menu"))) // p.click uses a script
	p.await("#contents:popover-open")
}
