package browser_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp/kb"

	"parley.chat/internal/devkit/testkit"
)

// reacted waits until a message has a reaction with the emoji.
func (p *person) reacted(seq int64, emoji string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`[...document.querySelectorAll(%s)].some(e => e.textContent.startsWith(%s))`, quote(message(seq)+" "+find("reaction")), quote(emoji)))
}

// TestReact checks that an emoji is found by its name, in the page's language and in English, among
// the recently used ones, and without a mouse.
func TestReact(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea := w.channel(ann, "tea", "public")
	w.join(bob, tea)
	for _, text := range []string{"one", "two", "three"} {
		w.say(ann, tea, text)
	}
	p := w.person("bob")
	p.logIn("/c/" + tea)
	p.reads("three")
	last := p.newest()
	opened := func(seq int64) {
		t.Helper()
		p.hover(message(seq))
		p.click(message(seq) + " " + find("react"))
		p.until(focused(find("emoji-field")))
	}

	// By its name, with the mouse.
	opened(last)
	p.press("party pop")
	p.click(find("emoji", `[data-emoji="🎉"]`))
	p.reacted(last, "🎉")
	p.gone(find("popover"))
	p.until(focused(message(last) + " " + find("react")))

	// It is now the first of the recently used emoji, and the one of the quick reaction.
	opened(last - 1)
	p.until(fmt.Sprintf(`document.querySelector(%s).dataset.emoji === "🎉"`, quote(find("emoji"))))
	p.click(find("emoji"))
	p.reacted(last-1, "🎉")
	p.hover(message(last - 2))
	p.click(message(last-2) + " " + find("quick-reaction"))
	p.reacted(last-2, "🎉")

	// With the keyboard: the field finds, the arrow keys move in the grid.
	p.focusOn(message(last))
	p.press("+")
	p.until(focused(find("emoji-field")))
	p.press("heart")
	p.await(find("emoji", `[data-emoji="💘"]`))
	p.press(kb.ArrowDown + kb.ArrowRight + kb.ArrowRight)
	third := value[string](p, `[...document.querySelectorAll('[data-testid="emoji"]')][2].dataset.emoji`)
	p.until(focused(find("emoji", fmt.Sprintf(`[data-emoji="%s"]`, third))))
	p.press(kb.ArrowDown)
	p.until(`document.activeElement.getBoundingClientRect().top > document.querySelector('[data-testid="emoji"]').getBoundingClientRect().bottom - 1`)
	p.press(kb.ArrowUp)
	p.until(focused(find("emoji", fmt.Sprintf(`[data-emoji="%s"]`, third))))
	p.press(kb.ArrowUp)
	p.until(focused(find("emoji-field")))
	p.press(kb.ArrowDown + kb.Enter)
	p.gone(find("popover"))
	p.until(focused(message(last)))
	p.until(fmt.Sprintf(`document.querySelectorAll(%s).length === 2`, quote(message(last)+" "+find("reaction"))))

	// By its German name, and by its English one.
	p.openSettings("appearance")
	p.click(find("language") + ` input[value="de"]`)
	p.until(`document.documentElement.lang === "de"`)
	p.press(kb.Escape)
	p.gone(find("dialog"))
	p.openChannel(tea)
	p.reads("one")
	for _, c := range []struct{ word, emoji string }{{"rakete", "🚀"}, {"thumbs up", "👍"}} {
		opened(last - 2)
		p.press(c.word)
		p.await(find("emoji", fmt.Sprintf(`[data-emoji="%s"]`, c.emoji)))
		p.press(kb.Enter)
		p.reacted(last-2, c.emoji)
	}
}

// focusOn moves the focus to an element.
func (p *person) focusOn(selector string) {
	p.t.Helper()
	p.await(selector)
	value[any](p, fmt.Sprintf(`(document.querySelector(%s).focus(), null)`, quote(selector)))
	p.until(focused(selector))
}

// TestMessageMenu checks the toolbar and the menu of own messages, of others' messages, and of
// messages in a channel that the user manages.
func TestMessageMenu(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea := w.channel(ann, "tea", "public")
	w.join(bob, tea)
	w.say(ann, tea, "from **ann**")
	w.say(bob, tea, "from bob")
	seqs := func(p *person) (anns, bobs int64) {
		p.reads("from ann")
		p.reads("from bob")
		return p.newest() - 1, p.newest()
	}
	controls := func(p *person, in string) []string {
		p.t.Helper()
		return value[[]string](p, fmt.Sprintf(`[...document.querySelectorAll(%s)].map(e => e.dataset.testid)`, quote(in)))
	}
	check := func(p *person, seq int64, toolbar, menu string) {
		t.Helper()
		if got := fmt.Sprint(controls(p, message(seq)+` [role="toolbar"] button`)); got != toolbar {
			t.Errorf("%s: the toolbar of message %d is %s, want %s", p.name, seq, got, toolbar)
		}
		p.pops(message(seq), "more-actions", `[role="menuitem"]`)
		p.until(focused(find("popover") + ` [role="menuitem"]`))
		if got := fmt.Sprint(controls(p, find("popover")+` [role="menuitem"]`)); got != menu {
			t.Errorf("%s: the menu of message %d is %s, want %s", p.name, seq, got, menu)
		}
		p.press(kb.Escape)
		p.gone(find("popover"))
		p.until(focused(message(seq) + " " + find("more-actions")))
	}
	const own, others = "[quick-reaction react reply edit more-actions]", "[quick-reaction react reply copy-link more-actions]"
	b := w.person("bob")
	b.logIn("/c/" + tea)
	anns, bobs := seqs(b)
	check(b, bobs, own, "[copy-link copy-text mark-unread receipts delete]")
	check(b, anns, others, "[copy-text mark-unread]")
	a := w.person("ann")
	a.logIn("/c/" + tea)
	seqs(a)
	check(a, bobs, others, "[copy-text mark-unread delete]")

	// With the keyboard: Enter leads to the toolbar, arrow keys move in the menu, Tab closes it.
	b.focusOn(message(bobs))
	b.press(kb.Enter)
	b.until(focused(message(bobs) + " " + find("quick-reaction")))
	b.tabTo(message(bobs) + " " + find("more-actions"))
	b.press(kb.Enter)
	b.until(focused(find("copy-link")))
	b.press(kb.ArrowUp)
	b.until(focused(find("delete")))
	b.press(kb.Home + kb.ArrowDown)
	b.until(focused(find("copy-text")))
	b.press(kb.Tab)
	b.gone(find("popover"))
	b.until(`document.activeElement !== document.body`)

	// The receipts open at the same button.
	b.actFromMenu(message(bobs), "receipts")
	b.await(find("popover") + " .result")
	b.press(kb.Escape)
	b.gone(find("popover"))
	b.until(focused(message(bobs) + " " + find("more-actions")))

	// Deleting asks. The focus returns to the message.
	b.actFromMenu(message(bobs), "delete")
	b.await(find("confirm-delete"))
	b.press(kb.Escape)
	b.gone(find("confirm-delete"))
	b.until(fmt.Sprintf(`document.activeElement.closest(%s) !== null`, quote(message(bobs))))

	// The text is copied as it was typed.
	value[any](b, `(navigator.clipboard.writeText = async text => { window.copied = text }, null)`)
	b.actFromMenu(message(anns), "copy-text")
	b.until(`window.copied === "from **ann**"`)
}

// TestPopoversClose checks how popovers close, and where the focus goes.
func TestPopoversClose(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	w.join(bob, tea)
	w.join(bob, work)
	for i := range 60 {
		w.say(ann, tea, fmt.Sprintf("message %d", i))
	}
	w.say(ann, tea, "@bob, this is the last one")
	p := w.person("bob")
	p.logIn("/c/" + tea) // the first entry of the browser's history
	p.click(find("jump-to-newest"))
	p.reads("@bob, this is the last one")
	last := p.newest()
	p.inView(message(last))
	react := message(last) + " " + find("react")
	opened := func() {
		t.Helper()
		p.pops(message(last), "react", find("emoji-field"))
		p.until(focused(find("emoji-field")))
	}
	// As a sheet, the popover covers the message.
	sheet := value[bool](p, `matchMedia("(pointer: coarse), (max-width: 40em)").matches`)

	// Escape, even with a text in the field, the button itself, and Back.
	opened()
	p.press("x" + kb.Escape)
	p.gone(find("popover"))
	p.until(focused(react))
	if !sheet {
		opened()
		p.click(react)
		p.gone(find("popover"))
	}
	opened()
	p.goBack()
	p.gone(find("popover"))
	p.until(fmt.Sprintf(`location.pathname === %s && %s`, quote("/c/"+tea), focused(react)))

	// Another popover takes its place. A click elsewhere closes it, and so does its close button.
	opened()
	if sheet {
		p.click(find("popover-close"))
		p.pops(message(last), "more-actions", `[role="menu"]`)
	} else {
		p.click(message(last) + " " + find("more-actions"))
	}
	p.until(`document.querySelectorAll('[data-testid="popover"]').length === 1 && document.querySelector('[role="menu"]') !== null`)
	p.click(find("channel-title"))
	p.gone(find("popover"))
	p.click(message(last) + " " + find("mention"))
	p.await(find("popover"))
	p.click(find("popover-close"))
	p.gone(find("popover"))
	p.until(focused(message(last) + " " + find("mention")))

	// A new message leaves it open. Scrolling closes it, but possibly not the first time, if rows
	// are measured that have not been shown before.
	opened()
	w.say(ann, tea, "one more")
	p.reads("one more")
	p.painted()
	p.await(find("popover"))
	at := value[[]float64](p, `(() => { const r = document.querySelector('[data-testid="message-list"]').getBoundingClientRect(); return [r.left + 20, r.top + 100] })()`) // below the bar
	testkit.Until(t, testkit.Timeout, func() error {
		command(p, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseWheel, X: at[0], Y: at[1], DeltaX: 1, DeltaY: -300})
		p.painted()
		if value[bool](p, fmt.Sprintf(`document.querySelector(%s) !== null`, quote(find("popover")))) {
			return errors.New("the popover is still open")
		}
		return nil
	})

	// The button disappears because the message is deleted. The focus is not lost.
	p.pops(message(last), "react", find("emoji-field"))
	other := w.person("ann")
	other.logIn("/c/" + tea)
	other.actFromMenu(message(last), "delete")
	other.click(find("confirm-delete"))
	p.gone(find("popover"))
	p.until(`document.activeElement !== document.body`)

	// So does the button of another channel.
	p.pops(message(last-1), "react", find("emoji-field"))
	p.press(kb.ArrowUp, alt)
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+work)))
	p.gone(find("popover"))
}

// TestPopoverPlace checks that popovers of the first and the last message are in the window, also
// in small windows and with large text. In a large window with text of the normal size, they are
// next to their control.
func TestPopoverPlace(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea := w.channel(ann, "tea", "public")
	w.join(bob, tea)
	for i := range 20 {
		w.say([]account{ann, bob}[i%2], tea, fmt.Sprintf("message %d", i))
	}
	p := w.person("ann")
	p.logIn("/c/" + tea)
	p.await(find("message"))
	texts := []string{"100%", "200%"}
	if p.variant.textSize != 0 {
		texts = texts[:1] // it is enlarged already
	}
	for _, size := range []struct{ width, height int64 }{{1280, 800}, {640, 400}, {360, 780}, {320, 256}} {
		p.resize(size.width, size.height)
		for _, text := range texts {
			value[any](p, fmt.Sprintf(`(document.documentElement.style.setProperty("font-size", %s), null)`, quote(text)))
			for _, row := range []struct{ scroll, name string }{{"0", "first"}, {"list.scrollHeight", "last"}} {
				p.scroll(`list.scrollTop = ` + row.scroll)
				p.painted()
				for _, control := range []string{"react", "more-actions", "avatar"} {
					where := fmt.Sprintf("%s of the %s message in %d × %d px with text of %s", control, row.name, size.width, size.height, text)
					p.popsUp(row.name == "first", control)
					if over := value[int](p, outside); over > 0 {
						t.Errorf("%s: %d px are outside of the window", where, over)
					}
					if gap := value[int](p, distance); size.height == 800 && text == "100%" && p.variant.textSize == 0 && (gap < 0 || gap > 8) {
						t.Errorf("%s: %d px from its control", where, gap)
					}
					p.press(kb.Escape)
					p.gone(find("popover"))
				}
			}
		}
	}
}

const (
	// outside is by how many pixels the popover exceeds the window.
	outside = `(() => {
		const r = document.querySelector('[data-testid="popover"]').getBoundingClientRect();
		return Math.round(Math.max(-r.left, -r.top, r.right - innerWidth, r.bottom - innerHeight)) })()`
	// distance is the vertical distance, in pixels, between the popover and its control.
	distance = `(() => {
		const r = document.querySelector('[data-testid="popover"]').getBoundingClientRect(), c = window.control.getBoundingClientRect();
		return Math.round(Math.max(r.top - c.bottom, c.top - r.bottom)) })()`
)

// popsUp opens a popover with a control of the first or the last message in the document.
func (p *person) popsUp(first bool, control string) {
	p.t.Helper()
	value[any](p, fmt.Sprintf(`(() => {
		const rows = [...document.querySelectorAll('[data-testid="message"]')], row = rows.at(%t ? 0 : -1);
		row.focus({ preventScroll: true });
		window.control = row.querySelector(%s);
		window.control.click();
		return null })()`, first, quote(find(control))))
	p.await(find("popover"))
	p.painted()
}
