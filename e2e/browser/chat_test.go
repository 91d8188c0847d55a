package browser_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"parley.chat/internal/devkit/testkit"
)

// status returns a script that reports whether the user's newest own message has the given status.
func status(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('[data-testid="tick"]')].at(-1)?.dataset.status === %s`, quote(name))
}

// TestChat covers two new users: one joins the other's channel by a link, and they chat.
func TestChat(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	ann.signUp()
	tea := ann.create("tea", "unlisted")
	ann.say("Anybody there?")
	ann.reads("Anybody there?")
	ann.until(status("sent"))

	bob.open("/c/" + tea)
	bob.enter() // signing up through the link joins the channel
	bob.reads("Anybody there?")
	ann.until(status("read"))
	bob.say("@ann yes, **here** I am.")
	ann.reads("@ann yes, here I am.")
	bob.until(status("read"))
	if got := value[string](ann, `document.querySelector('[data-testid="message-body"] strong')?.textContent ?? ""`); got != "here" {
		t.Errorf("the text in bold is %q, want \"here\"", got)
	}

	// While bob is typing, ann sees that, until he sends the message. This also works soon after an
	// earlier message.
	bob.fill(find("composer"), "I am writing ")
	testkit.Until(t, testkit.Timeout, func() error {
		bob.press("…")
		if !value[bool](ann, `document.querySelector('[data-testid="typing"]')?.textContent.includes("bob") === true`) {
			return errors.New("ann does not see that bob is typing")
		}
		return nil
	})
	bob.press(kb.Enter)
	ann.until(`!document.querySelector('[data-testid="typing"]')?.textContent.includes("bob")`)

	// Edit, react, reply and delete with the mouse.
	bob.until(status("read"))
	own := value[int64](bob, `Number([...document.querySelectorAll('[data-testid="message"][data-mine][data-seq]')].at(-1).dataset.seq)`)
	bob.hover(message(own))
	bob.click(message(own) + " " + find("edit"))
	bob.await(find("edit-field"))
	bob.press("a", ctrl)
	bob.press("I was writing" + kb.Enter)
	ann.until(fmt.Sprintf(`[...document.querySelectorAll('[data-testid="message-body"]')].some(e => e.textContent.replace(/\s+/g, "") === %s)`,
		quote("Iwaswriting"+ann.variant.words().edited)))
	ann.hover(message(own))
	ann.click(message(own) + " " + find("quick-reaction"))
	bob.await(message(own) + " " + find("reaction"))
	ann.hover(message(own))
	ann.click(message(own) + " " + find("reply"))
	ann.await(find("reply-preview"))
	ann.say("I saw it")
	bob.reads("I saw it")
	bob.await(find("quote"))
	bob.actFromMenu(message(own), "delete")
	bob.click(find("confirm-delete"))
	ann.until(fmt.Sprintf(`document.querySelector(%s)?.textContent.includes(%s) === true`, quote(message(own)), quote(ann.variant.words().deleted)))
}

// TestReadByAll checks that a message counts as read only when all other members have read it.
func TestReadByAll(t *testing.T) {
	w := newWorld(t)
	ann, bob, cyd := w.account("ann"), w.account("bob"), w.account("cyd")
	tea := w.channel(ann, "tea", "public")
	w.join(bob, tea)
	w.join(cyd, tea)
	p := w.person("ann")
	p.logIn("/c/" + tea)
	p.say("Anybody there?")
	p.until(status("sent"))
	read := func(by account) {
		t.Helper()
		var end struct {
			LastSeq int64 `json:"last_seq"`
		}
		w.call("GET", "/v1/channels/"+tea, ann.Token, nil, &end)
		w.call("PUT", "/v1/channels/"+tea+"/cursor", by.Token, map[string]any{"read_seq": end.LastSeq}, nil)
	}
	partly := fmt.Sprintf(`document.querySelector('[data-testid="tick"]').title === %s`, quote(p.variant.words().readBy1of2))
	read(bob)
	p.until(status("delivered"))
	p.until(partly)
	p.open("/c/" + tea) // receipts are requested again
	p.until(`document.querySelector('[data-testid="tick"]') !== null`)
	p.until(partly)
	read(cyd)
	p.until(status("read"))
	p.open("/c/" + tea)
	p.until(status("read"))
}

// TestBadges checks that a user in another channel sees unread and mention counts.
func TestBadges(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "private")
	w.join(bob, tea)
	w.call("POST", "/v1/channels/"+work+"/members", ann.Token, map[string]any{"user_id": bob.ID}, nil)
	p := w.person("bob")
	p.logIn("/c/" + work)
	p.lists(channelLink(tea))
	w.say(ann, tea, "first")
	w.say(ann, tea, "second, @bob")
	p.lists(channelLink(tea) + `[data-unread="2"][data-mentions="1"]`)
	p.until(`document.title === "(2) #work – Parley" && document.querySelector('link[rel="icon"]').href.includes("unread-2")`)
	if status := value[int](p, `fetch(document.querySelector('link[rel="icon"]').href).then(r => r.status)`); status != 200 {
		t.Errorf("the icon of two unread messages: %d", status)
	}
	p.openChannel(tea)
	p.reads("second, @bob")
	p.gone(channelLink(tea) + `[data-unread]`)
	p.until(`document.title === "#tea – Parley" && document.querySelector('link[rel="icon"]').href.endsWith("/icon.svg")`)

	// The first direct message makes its channel appear.
	var dm struct{ ID string }
	w.call("POST", "/v1/dms", ann.Token, map[string]any{"user_id": bob.ID}, &dm)
	w.say(ann, dm.ID, "between us")
	p.lists(channelLink(dm.ID) + `[data-unread="1"]`)
	p.openChannel(dm.ID)
	p.reads("between us")
	p.say("nobody else knows")
	p.until(status("sent"))
}

// TestHostile checks that messages and names are always rendered as text: no script runs, no link
// leads to a script, and nothing is loaded from another host.
func TestHostile(t *testing.T) {
	w := newWorld(t)
	mallory, ann := w.account("mallory"), w.account("ann")
	tea := w.channel(mallory, `<img src=x onerror=window.owned=1>`, "public")
	w.join(ann, tea)
	w.call("PATCH", "/v1/me", mallory.Token, map[string]any{
		"display_name": `"><script>window.owned=1</script>`, "bio": "<svg onload=window.owned=1>",
	}, nil)
	w.call("PATCH", "/v1/channels/"+tea, mallory.Token, map[string]any{"description": `<iframe src="javascript:window.owned=1"></iframe>`}, nil)
	hostile := []string{
		strings.Repeat("W", 400),
		`<img src=x onerror="window.owned=1">`,
		`<script>window.owned=1</script>`,
		`<a href="javascript:window.owned=1">x</a>`,
		`javascript:window.owned=1`,
		`[x](javascript:window.owned=1) data:text/html,<script>window.owned=1</script>`,
		"`<svg onload=window.owned=1>`",
		"```html\n<style>*{display:none}</style>\n```",
		`https://example.invalid/"onmouseover="window.owned=1`,
		`**<b onclick=window.owned=1>b</b>** *<i>i</i>* @<mallory>`,
		"\u202egnp.exe\u202c and \u2066isolates\u2069",
		"z\u0351\u0362\u0363\u0364\u0365\u0366\u0367\u0368\u0369\u036a\u036b\u036c\u036d\u036e\u036fa\u0489\u0334l\u0335g\u0336o " + strings.Repeat("\u0301", 200),
		"{{constructor.constructor('window.owned=1')()}} ${document.title} &lt;img src=x&gt; &#60;script&#62;",
		"\ufdfd \U0001F468\u200d\U0001F469\u200d\U0001F467\u200d\U0001F466 ﷽ \u200b\u2028\u2029end",
	}
	for _, body := range hostile {
		w.say(mallory, tea, body)
	}
	p := w.person("ann")
	p.logIn("/c/" + tea)
	p.reads(`<img src=x onerror="window.owned=1">`)
	testkit.Until(t, testkit.Timeout, func() error { // the channel opens at the first unread message
		p.scroll(`list.scrollTop = list.scrollHeight`)
		if newest := value[int64](p, newestSeq); newest < int64(len(hostile)) {
			return fmt.Errorf("the newest message is %d, want %d and more", newest, len(hostile))
		}
		return nil
	})
	last := value[int64](p, newestSeq)
	for back := range int64(6) { // hovering shows the toolbar
		p.hover(message(last - back))
	}
	p.click(find("toggle-members"))
	p.await(find("member"))
	checks := map[string]string{
		"a script ran":                 `"owned" in window`,
		"a message became HTML":        `document.querySelector('[data-testid="message-body"] :is(img, script, svg, iframe, style, b, i):not([class])') !== null`,
		"a link leads to a script":     `[...document.links].some(a => !["http:", "https:"].includes(a.protocol))`,
		"an attribute is a script":     `[...document.querySelectorAll("*")].some(e => [...e.attributes].some(a => a.name.startsWith("on")))`,
		"links give away their opener": `[...document.querySelectorAll('[data-testid="message-body"] a')].some(a => !a.rel.includes("noopener"))`,
	}
	for name, script := range checks {
		if value[bool](p, script) {
			t.Error(name)
		}
	}
	p.fitsWidth("a channel of hostile messages")
	p.screenshot("hostile")
}
