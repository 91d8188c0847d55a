package browser_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// drafts waits until the composer contains the text.
func (p *person) drafts(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector('[data-testid="composer"]')?.value === %s`, quote(text)))
}

// TestDrafts checks that each tab and channel keeps its draft until the session ends, no matter how
// it ends, and that the next user of the same browser finds no drafts.
func TestDrafts(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	for _, c := range []string{tea, work} {
		w.join(bob, c)
	}
	one := w.person("ann")
	one.logIn("/c/" + tea)
	two := one.another()
	two.open("/c/" + work)
	two.connected()
	one.fill(find("composer"), "for tea")
	two.fill(find("composer"), "for work")
	one.fill(find("composer"), ", longer")
	for p, path := range map[*person]string{one: "/c/" + tea, two: "/c/" + work} {
		p.open(path)
		p.connected()
	}
	one.drafts("for tea, longer")
	two.drafts("for work")

	one.expectFailures(true) // from now on, requests are refused
	two.expectFailures(true)
	var sessions struct {
		Items []struct {
			ID      string
			Current bool
		}
	}
	w.call("GET", "/v1/sessions", ann.Token, nil, &sessions)
	for _, s := range sessions.Items {
		if !s.Current {
			w.call("DELETE", "/v1/sessions/"+s.ID, ann.Token, nil, nil)
		}
	}
	for _, p := range []*person{one, two} {
		p.await(find("login"))
	}
	one.name = "bob"
	one.logIn("/c/" + tea)
	one.expectFailures(false)
	one.drafts("")
	one.open("/c/" + work)
	one.connected()
	one.drafts("")
}

// TestReplyTarget checks that a channel keeps the message that is being replied to, as it keeps the
// draft, while the user looks at another channel.
func TestReplyTarget(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	for _, c := range []string{tea, work} {
		w.join(bob, c)
	}
	w.say(ann, tea, "Which one?")
	p := w.person("bob")
	p.logIn("/c/" + tea)
	p.reads("Which one?")
	row := `[data-testid="message"]:last-child`
	p.hover(row)
	p.click(row + " " + find("reply"))
	p.await(find("reply-preview"))
	p.fill(find("composer"), "Assam")
	p.openChannel(work)
	p.gone(find("reply-preview"))
	p.openChannel(tea)
	p.drafts("Assam")
	p.until(`document.querySelector('[data-testid="reply-preview"]')?.textContent.includes("Which one?") === true`)
	p.press(kb.Enter)
	p.await(find("quote"))
}

// TestInputMethod checks that the Enter that confirms a conversion sends nothing, even as Safari
// reports it: after the end of the composition, so that only the keyCode identifies it.
func TestInputMethod(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.channel(ann, "tea", "public")
	p := w.person("ann")
	p.logIn("/c/" + tea)
	p.fill(find("composer"), "にほん")
	p.drafts("にほん")
	value[bool](p, `document.querySelector('[data-testid="composer"]').dispatchEvent(
		new KeyboardEvent("keydown", {key: "Enter", code: "Enter", keyCode: 229, bubbles: true, cancelable: true}))`)
	p.drafts("にほん")
	p.press(kb.Enter)
	p.drafts("")
	p.reads("にほん")
}
