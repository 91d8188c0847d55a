package browser_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

// TestMarks checks how the marks that people type are shown, and that what is not a mark stays.
func TestMarks(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea := w.channel(ann, "tea", "public")
	w.join(bob, tea)
	typed := "2*3*4 = 24 and *.go, a*b*c and snake_case @bob @nobody"
	w.say(ann, tea, typed)
	w.say(ann, tea, "> Which tea?\nAssam, *second* flush:\n\n1. boil\n2. pour\n\n- milk\n- ~~sugar~~ [no](https://a.example/no)\n\ncup | ml\n---|---:\nsmall | 150\n\n"+
		"```go\n// pour pours.\nfunc pour(ml int) string { return \"tea\" }\n```")
	p := w.person("bob")
	p.logIn("/c/" + tea)
	p.reads(typed)
	if got := value[[]string](p, `[...document.querySelectorAll('.mention')].map(m => m.textContent)`); len(got) != 1 || got[0] != "@bob" {
		t.Errorf("mentions are painted: %q, want only @bob", got)
	}
	last := p.newest()
	body := message(last) + " " + find("message-body")
	p.await(body + " blockquote")
	p.await(body + " .code-keyword") // its chunk is loaded
	for selector, want := range map[string]string{
		"blockquote": "Which tea?", "em": "second", "ol li:last-of-type": "pour", "ul li:first-child": "milk", "s": "sugar",
		`a[href="https://a.example/no"]`: "no", "td.align-right": "150", ".code-language": "go", ".code-comment": "// pour pours.",
	} {
		if got := value[string](p, fmt.Sprintf(`(document.querySelector(%s)?.textContent ?? "").trim()`, quote(body+" "+selector))); got != want {
			t.Errorf("%s shows %q, want %q", selector, got, want)
		}
	}
	if got := value[string](p, fmt.Sprintf(`document.querySelector(%s).getAttribute("aria-label")`, quote(message(last)))); strings.ContainsAny(got, ">*~|`") {
		t.Errorf("the label of the message contains marks: %q", got)
	}
	p.accessible("a message with all marks")
	p.screenshot("marks")

	// The button copies only the code.
	value[any](p, `(navigator.clipboard.writeText = async text => { window.copied = text }, null)`)
	p.click(body + " " + find("copy-code"))
	p.await(find("toast"))
	if got := value[string](p, `window.copied`); !strings.HasPrefix(got, "// pour") || !strings.HasSuffix(got, "}") {
		t.Errorf("the copied code is %q", got)
	}
}

// newest returns the seq of the newest message in the document.
func (p *person) newest() int64 { p.t.Helper(); return value[int64](p, newestSeq) }

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
	if got := value[float64](p, height); got > float64(p.variant.text(900)) {
		t.Errorf("the folded message is %.0f px high", got)
	}
	value[any](p, fmt.Sprintf(`(document.querySelector(%s).focus(), null)`, quote(button)))
	p.press("\r")
	p.until(height + ` > 15000`)
}

// TestRhythm checks the distances between messages, the length of lines, and the size of emoji.
func TestRhythm(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea := w.channel(ann, "tea", "public")
	w.join(bob, tea)
	w.say(ann, tea, "one")
	w.say(ann, tea, "two")
	w.say(bob, tea, strings.Repeat("The kettle is on and the tea is nearly ready for everybody here. ", 12))
	w.say(bob, tea, "👍🎉")
	p := w.person("ann")
	p.resize(p.variant.text(1600), 900)
	p.logIn("/c/" + tea)
	p.reads("👍🎉")
	newest := p.newest()
	// Without unread messages, no line separates the groups.
	w.call("PUT", "/v1/channels/"+tea+"/cursor", ann.Token, map[string]any{"read_seq": newest}, nil)
	p.open("/c/" + tea)
	p.reads("👍🎉")
	// gap is the distance between the content of two messages, without the author's name.
	gap := func(above, below int64, part string) float64 {
		return value[float64](p, fmt.Sprintf(`document.querySelector(%s).getBoundingClientRect().top - document.querySelector(%s).getBoundingClientRect().bottom`,
			quote(message(below)+" "+part), quote(message(above)+" .row-body")))
	}
	if got := gap(newest-3, newest-2, ".row-body"); math.Abs(got-4) > 0.6 {
		t.Errorf("messages of a group are %.1f px apart, want 4", got)
	}
	if got := gap(newest-2, newest-1, ".row-who"); math.Abs(got-16) > 0.6 {
		t.Errorf("groups are %.1f px apart, want 16", got)
	}
	longest := value[int](p, fmt.Sprintf(`(() => {
		const text = document.querySelector(%s).firstChild, range = document.createRange(), lines = new Map();
		for (let i = 0; i < text.length; i++) {
			range.setStart(text, i); range.setEnd(text, i + 1);
			const top = Math.round(range.getBoundingClientRect().top);
			lines.set(top, (lines.get(top) ?? 0) + 1);
		}
		return Math.max(...lines.values()) })()`, quote(message(newest-1)+" .row-body p")))
	if longest > 75 || longest < 60 {
		t.Errorf("a line has up to %d characters, want 60 to 75", longest)
	}
	style := func(selector, property string) string {
		return value[string](p, fmt.Sprintf(`getComputedStyle(document.querySelector(%s))[%s]`, quote(selector), quote(property)))
	}
	if got := style(message(newest)+" .row-body p", "fontSize"); got != fmt.Sprintf("%dpx", p.variant.text(32)) {
		t.Errorf("emoji are %s high, want twice the size of text", got)
	}
	if name, text := style(message(newest-1)+" .row-name", "color"), style("body", "color"); name != text {
		t.Errorf("names are shown in %s, want the color of text, %s", name, text)
	}

	// A linked message stays tinted until the address leads elsewhere.
	p.open(fmt.Sprintf("/c/%s?m=%d", tea, newest-3))
	p.await(message(newest-3) + ".row-linked")
	p.until(`document.querySelector(".row-flash") === null`) // the flash has ended
	if got := style(message(newest-3), "backgroundColor"); got == style(message(newest-2), "backgroundColor") {
		t.Errorf("the linked message has the background of the others, %s", got)
	}
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
