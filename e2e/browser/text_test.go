package browser_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

// TestLongMessage checks that a message of 1,000 lines is folded, and that the keyboard unfolds it.
func TestLongMessage(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.channel(ann, "tea", "public")
	w.say(ann, tea, strings.Repeat("x\n", 999)+"end")
	p := w.person("ann")
	p.logIn("/c/" + tea)
	button := find("message") + " " + find("show-all-lines")
	p.await(button)
	height := fmt.Sprintf(`document.querySelector(%s).getBoundingClientRect().height`, quote(find("message")))
	if got := value[float64](p, height); got > 900 {
		t.Errorf("the folded message is %.0f px high", got)
	}
	value[any](p, fmt.Sprintf(`(document.querySelector(%s).focus(), null)`, quote(button)))
	p.press("\r")
	p.until(height + ` > 15000`)
}

// TestNarrowNames checks that a long name from right to left is cut at its end, and that the time
// of a message in a 12-hour locale does not overlap the text.
func TestNarrowNames(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	name := strings.Repeat("ليلى ", 12)
	w.call("PATCH", "/v1/me", ann.Token, map[string]any{"display_name": strings.TrimSpace(name)}, nil)
	tea := w.channel(ann, "tea", "public")
	w.say(ann, tea, "one")
	w.say(ann, tea, "two")
	p := w.person("ann")
	command(p, emulation.SetLocaleOverride, emulation.SetLocaleOverrideParams{Locale: "en-US"})
	p.resize(360, 800)
	p.logIn("/c/" + tea)
	p.reads("two")
	cut := func(selector string) bool {
		return value[bool](p, fmt.Sprintf(`(() => {
			const e = document.querySelector(%s), box = e.getBoundingClientRect();
			const text = document.createTreeWalker(e, NodeFilter.SHOW_TEXT).nextNode(), range = document.createRange();
			range.setStart(text, 0); range.setEnd(text, 1);
			const first = range.getBoundingClientRect();
			return first.left < box.left - 1 || first.right > box.right + 1 })()`, quote(selector)))
	}
	if cut(".row-name") {
		t.Error("the author's name is cut at its beginning")
	}
	overlap := value[float64](p, `(() => {
		const row = [...document.querySelectorAll('[data-testid="message"]')].at(-1);
		const time = document.createRange(); time.selectNodeContents(row.querySelector(".row-time"));
		return time.getBoundingClientRect().right - row.querySelector(".row-body").getBoundingClientRect().left })()`)
	if overlap > 0 {
		t.Errorf("the time of a message covers %.0f px of its text", overlap)
	}
}
