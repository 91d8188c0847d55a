package browser_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/page"
)

// TestOffline checks that messages that were missed while offline appear once and in order after
// the reconnection, and that messages that were written offline are sent.
func TestOffline(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea := w.channel(ann, "tea", "public")
	w.join(bob, tea)
	p := w.person("bob")
	p.resize(p.variant.width, p.variant.text(p.variant.height)) // has room for all messages
	p.logIn("/c/" + tea)
	var want []string
	say := func(from, to int) {
		for i := from; i <= to; i++ {
			text := fmt.Sprintf("message %d", i)
			w.say(ann, tea, text)
			want = append(want, text)
		}
	}
	say(1, 5)
	p.reads("message 5")

	for round := range 2 {
		p.expectFailures(true)
		w.proxy.sever()
		p.until(`["offline", "reconnecting", "connecting"].includes(document.querySelector('[data-testid="connection"]').dataset.state)`)
		p.await(find("retry-now"))
		p.screenshot(fmt.Sprintf("offline-%d", round+1))
		p.say(fmt.Sprintf("thought better of %d", round+1))
		p.click(find("discard-send"))
		p.gone(find("discard-send"))
		mine := fmt.Sprintf("written in the dark %d", round+1)
		p.say(mine)
		p.until(status("pending"))
		first := 10*(round+1) + 1
		say(first, first+7)
		want = append(want, mine) // it gets its seq when it is sent, so it comes after the other messages
		w.proxy.mend()
		// The client may already have reconnected by itself, in which case the button is gone.
		p.until(fmt.Sprintf(`(document.querySelector(%q)?.click(), true)`, find("retry-now")))
		p.connected()
		p.until(status("sent"))
		p.expectFailures(false)
	}
	say(40, 42)
	p.reads("message 42")
	p.until(fmt.Sprintf(`document.querySelectorAll('[data-testid="message-body"]').length === %d`, len(want)))
	if got := p.bodies(); !slices.Equal(got, want) {
		t.Errorf("bob reads %q, want %q", got, want)
	}
}

// TestOpenOffline checks that a channel that is opened while offline says so, and loads by itself
// after the reconnection.
func TestOpenOffline(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	for _, c := range []string{tea, work} {
		w.join(bob, c)
		w.say(ann, c, "hello")
	}
	p := w.person("bob")
	p.logIn("/c/" + tea)
	p.reads("hello")
	p.expectFailures(true)
	w.proxy.sever()
	p.await(find("retry-now"))
	p.openChannel(work)
	p.await(find("messages-missing"))
	p.click(find("toggle-members"))
	p.await(find("members-missing"))
	w.say(ann, work, "said while bob was away")
	w.proxy.mend()
	p.connected()
	p.reads("said while bob was away")
	p.gone(find("messages-missing"))
	p.await(memberRow(ann))
	p.gone(find("members-missing"))
	p.expectFailures(false)
}

// TestChannelNotLoaded checks that a channel that cannot be loaded says so, although the page is
// connected, and that the user can try again.
func TestChannelNotLoaded(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.channel(ann, "tea", "public")
	p := w.person("ann")
	p.logIn("/")
	command(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		const real = window.fetch;
		window.broken = true;
		window.fetch = (url, options) => window.broken && String(url).includes("/v1/channels") ? Promise.reject(new TypeError("broken")) : real(url, options);`})
	p.open("/c/" + tea)
	p.connected()
	p.await(find("try-again"))
	p.accessible("a channel that could not be loaded")
	value[any](p, `(window.broken = false, null)`)
	p.click(find("try-again"))
	p.await(find("composer"))
}
