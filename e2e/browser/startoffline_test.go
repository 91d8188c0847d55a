package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"parley.chat/client"
	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/chat"
)

// TestStartOffline checks that the page opens while the server is unreachable, with the channels
// and messages that the user read last, and that the server's state replaces them afterward.
func TestStartOffline(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	w.call("PATCH", "/v1/me", ann.Token, map[string]any{"display_name": "Ann Amari"}, nil)
	tea, work, other := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public"), w.channel(ann, "other", "public")
	for _, c := range []string{tea, work, other} {
		w.join(bob, c)
	}
	edited := w.post(ann, tea, "**Assam** for everyone")
	deleted := w.post(ann, tea, "not meant for this channel")
	w.say(ann, work, "The build is green.")
	w.say(ann, other, "never opened")
	p := w.person("bob")
	p.logIn("/c/" + work)
	p.reads("The build is green.")
	p.openChannel(tea)
	p.reads("Assam for everyone")
	p.workerReady()

	p.expectFailures(true)
	w.proxy.sever()
	p.open("/c/" + tea)
	p.reads("Assam for everyone") // with its marks, which a chunk parses
	p.until(`document.querySelector(".row-name").textContent === "Ann Amari"`)
	p.saysOffline()
	p.screenshot("start-offline")
	if value[bool](p, `(() => { const s = document.createElement("script"); s.textContent = "window.inline = 1"; document.body.append(s); return "inline" in window })()`) {
		t.Error("the cached page has no content security policy")
	}
	p.openChannel(work)
	p.reads("The build is green.")
	p.openChannel(other)
	p.await(find("messages-missing"))

	// Another tab starts offline too, at the list. A message that is written survives a reload.
	two := p.another()
	two.expectFailures(true)
	two.open("/")
	two.lists(channelLink(tea))
	p.openChannel(tea)
	p.say("written in the dark")
	p.until(status("pending"))
	p.open("/c/" + tea)
	p.until(status("pending"))
	p.reads("not meant for this channel")
	p.saysOffline()

	w.change(ann, tea, edited, "Darjeeling for everyone")
	w.change(ann, tea, deleted, "")
	w.say(ann, tea, "said while bob was away")
	w.call("DELETE", "/v1/channels/"+work+"/members/"+bob.ID, ann.Token, nil, nil)
	w.proxy.mend()
	for _, each := range []*person{p, two} {
		each.until(fmt.Sprintf(`(document.querySelector(%q)?.click(), true)`, find("retry-now")))
		each.connected()
	}
	p.until(status("sent"))
	p.reads("said while bob was away")
	want := []string{"Darjeeling for everyone" + p.variant.words().edited, "said while bob was away", "written in the dark"}
	p.until(fmt.Sprintf(`document.querySelectorAll('[data-testid="message-body"]').length === %d`, len(want)))
	if got := p.bodies(); !slices.Equal(got, want) {
		t.Errorf("bob reads %q, want %q", got, want)
	}
	want[0] = "Darjeeling for everyone"
	if got := w.bodies(ann, tea); !slices.Equal(got, want) {
		t.Errorf("the channel contains %q, want %q", got, want)
	}
	p.gone(channelLink(work))
	two.gone(channelLink(work))
	p.expectFailures(false)
	two.expectFailures(false)

	// The channel that bob is no longer in is not in the copy, and neither is what ann has deleted.
	p.eventually(fmt.Sprintf(`(%s).then(all => all.includes("said while bob was away") && !all.includes("not meant for") && !all.includes("Assam") && !all.includes("The build is green."))`, everythingStored))

	// Nothing but the page's public files is left after bob has signed out.
	two.click(find("account-menu"))
	two.click(find("sign-out"))
	two.await(find("login"))
	p.await(find("login"))
	var left struct{ Local, Databases, Paths []string }
	unmarshal(t, value[string](p, everythingStored), &left)
	for _, entry := range left.Local {
		if strings.HasPrefix(entry, "parley.offline") || strings.HasPrefix(entry, "parley.session") || strings.Contains(entry, "everyone") || strings.Contains(entry, bob.ID) {
			t.Errorf("localStorage still contains %s", entry)
		}
	}
	if len(left.Databases) > 0 {
		t.Errorf("IndexedDB contains %q", left.Databases)
	}
	for _, path := range left.Paths {
		if path != "/" && !strings.HasPrefix(path, "/assets/") {
			t.Errorf("the cache contains %s", path)
		}
	}
	p.expectFailures(true)
	two.expectFailures(true)
	w.proxy.sever()
	p.open("/c/" + tea)
	p.await(find("login"))
}

// everythingStored is a script whose promise resolves with all that the browser stores for the
// page, as JSON.
const everythingStored = `(async () => {
	const paths = [];
	for (const name of await caches.keys()) {
		for (const request of await (await caches.open(name)).keys()) paths.push(new URL(request.url).pathname);
	}
	const local = Object.entries(localStorage).map(([key, value]) => key + " = " + value);
	return JSON.stringify({ local, databases: (await indexedDB.databases()).map(d => d.name), paths })
})()`

// workerReady waits until the service worker has cached the build and controls the page.
func (p *person) workerReady() {
	p.t.Helper()
	p.eventually(`navigator.serviceWorker.ready.then(r => r.active.state === "activated" && navigator.serviceWorker.controller !== null)`)
}

// saysOffline waits until the page says that it is not connected.
func (p *person) saysOffline() {
	p.t.Helper()
	p.until(`["offline", "reconnecting", "connecting"].includes(document.querySelector('[data-testid="connection"]').dataset.state)`)
	p.await(find("retry-now"))
}

// eventually waits until the script's promise resolves with true.
func (p *person) eventually(script string) {
	p.t.Helper()
	testkit.Until(p.t, testkit.Timeout, func() error {
		is, err := try(p, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise))
		if err != nil {
			return err
		}
		if !is {
			return fmt.Errorf("%s: not true: %s", p.name, script)
		}
		return nil
	})
}

// post sends a message and returns its id.
func (w *world) post(who account, channel, body string) string {
	w.t.Helper()
	var message struct{ ID string }
	w.call("POST", "/v1/channels/"+channel+"/messages", who.Token, map[string]any{"body": body}, &message)
	return message.ID
}

// change edits a message, or deletes it if the body is empty.
func (w *world) change(who account, channel, id, body string) {
	w.t.Helper()
	in, err := chat.ParseChannelID(channel)
	if err != nil {
		w.t.Fatal(err)
	}
	message, err := chat.ParseEventID(id)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := client.New(client.Config{URL: w.direct, Tokens: client.StaticToken(who.Token)})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), testkit.Timeout)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = c.Run(ctx) }) // returns the context's error
	wg.Go(func() {
		for range c.Events() { // the events must always be received
		}
	})
	if body == "" {
		_, err = c.Delete(ctx, in, message)
	} else {
		_, err = c.Edit(ctx, in, message, body)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// bodies returns the bodies of a channel's messages that are not deleted.
func (w *world) bodies(who account, channel string) (bodies []string) {
	w.t.Helper()
	var page struct {
		Items []struct {
			Body      string
			DeletedAt *string `json:"deleted_at"`
		}
	}
	w.call("GET", "/v1/channels/"+channel+"/messages", who.Token, nil, &page)
	for _, m := range page.Items {
		if m.DeletedAt == nil {
			bodies = append(bodies, m.Body)
		}
	}
	return bodies
}

func unmarshal(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}
