package browser_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/page"

	"parley.chat/internal/devkit/testkit"
)

// TestUnread checks where a channel opens, and that the read position moves only past messages that
// were on screen.
func TestUnread(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	work := w.channel(ann, "work", "public")
	w.join(bob, work)
	p := w.person("bob")
	p.logIn("/c/" + work)
	barSays := fmt.Sprintf(`/%s/.test(document.querySelector('[data-testid="new-bar"]')?.textContent ?? "")`, p.variant.words().newSince)

	t.Run("60", func(t *testing.T) {
		tea := w.unreadChannel(ann, bob, 100, 40)
		p.open("/c/" + tea)
		p.inView(find("new-line"))
		p.inView(message(41))
		p.until(barSays)
		if read := w.readSeq(bob, tea); read >= 100 {
			t.Fatalf("everything up to %d is read although it was not on screen", read)
		}
		// Reading on moves the position to the end.
		testkit.Until(t, testkit.Timeout, func() error {
			p.scroll(`list.scrollTop += list.clientHeight / 2`)
			p.painted()
			if read := w.readSeq(bob, tea); read < 100 {
				return fmt.Errorf("read up to %d", read)
			}
			return nil
		})
		p.gone(find("new-bar"))
		p.gone(channelLink(tea) + `[data-unread]`)
	})

	t.Run("left and joined again", func(t *testing.T) {
		tea := w.unreadChannel(ann, bob, 100, 40)
		p.open("/c/" + tea)
		p.inView(message(41))
		p.expectFailures(true) // requests that are under way when the user leaves have status 403
		p.click(find("channel-settings"))
		p.click(find("leave-channel"))
		p.click(find("undo"))
		p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+tea)))
		p.inView(find("new-line"))
		p.until(barSays)
		p.expectFailures(false)
	})

	t.Run("5000", func(t *testing.T) {
		tea := w.unreadChannel(ann, bob, 6000, 1000)
		p.open("/c/" + tea)
		p.inView(message(1001))
		p.click(find("jump-to-newest"))
		p.inView(message(6000))
		p.painted()
		if read := w.readSeq(bob, tea); read > 1100 {
			t.Fatalf("everything up to %d is read although it was not on screen", read)
		}
		p.click(find("jump-to-unread"))
		p.inView(find("new-line"))
		p.until(fmt.Sprintf(`(() => { const button = document.querySelector(%s); button?.click(); return button !== null })()`, quote(find("mark-read"))))
		w.reads(bob, tea, 6000)
		p.gone(find("new-bar"))
	})

	t.Run("new member", func(t *testing.T) {
		tea := w.filledChannel(ann, 5000)
		w.join(bob, tea)
		p.open("/c/" + tea)
		p.inView(message(5000))
		p.gone(find("new-bar"))
		p.gone(find("new-line"))
		w.reads(bob, tea, 5000)
	})

	t.Run("new member who opens it later", func(t *testing.T) {
		tea := w.filledChannel(ann, 500)
		w.join(bob, tea)
		for i := range 60 {
			w.say(ann, tea, fmt.Sprintf("after bob joined %d", i))
		}
		p.open("/c/" + tea)
		p.inView(find("new-line"))
		p.reads("after bob joined 0")
		p.until(barSays)
	})

	t.Run("details that arrive late", func(t *testing.T) {
		tea := w.filledChannel(ann, 500)
		w.join(bob, tea)
		w.say(ann, tea, "after bob joined")
		late := w.person("bob")
		// The WebSocket reports the channel first, without the seq at which bob joined.
		command(late, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
			const request = fetch;
			fetch = async (url, options) => {
				while (String(url).includes("/v1/channels?") && document.querySelector('[data-state="up-to-date"]') === null) {
					await new Promise(done => setTimeout(done, 10));
				}
				return request(url, options);
			}`})
		late.logIn("/c/" + tea)
		late.inView(find("new-line"))
		late.reads("after bob joined")
	})

	t.Run("link to a message", func(t *testing.T) {
		tea := w.unreadChannel(ann, bob, 500, 400)
		p.open("/c/" + tea + "?m=100")
		p.inView(message(100))
		p.painted()
		if read := w.readSeq(bob, tea); read != 400 {
			t.Errorf("read up to %d, want 400", read)
		}
		p.open("/c/" + tea + "?m=480")
		p.inView(message(480))
		p.painted()
		if read := w.readSeq(bob, tea); read != 400 {
			t.Errorf("read up to %d, want 400", read)
		}
		p.click(find("jump-to-unread"))
		p.inView(message(401))
	})

	t.Run("marked as unread", func(t *testing.T) {
		tea := w.unreadChannel(ann, bob, 50, 50)
		p.open("/c/" + tea)
		p.inView(message(50))
		p.actFromMenu(message(48), "mark-unread")
		p.await(find("new-line"))
		p.lists(channelLink(tea) + `[data-unread="3"]`)
		p.open("/c/" + work)
		p.connected()
		p.lists(channelLink(tea) + `[data-unread="3"]`)
		p.openChannel(tea)
		p.inView(find("new-line"))
		p.gone(channelLink(tea) + `[data-unread]`)
	})
}

// unreadChannel returns a channel of two members, of which one has read the messages up to a seq.
func (w *world) unreadChannel(by, reader account, count, read int) string {
	w.t.Helper()
	channel := w.filledChannel(by, count)
	w.exec(`insert into channel_members (channel_id, user_id, role, last_read_seq) values ($1::uuid, $2::uuid, 'member', $3)`, channel, reader.ID, read)
	return channel
}

// readSeq returns the seq up to which the user has read, according to the server.
func (w *world) readSeq(who account, channel string) int64 {
	w.t.Helper()
	_, read := w.seqs(who, channel)
	return read
}

// reads waits until the user has read up to a seq, according to the server.
func (w *world) reads(who account, channel string, seq int64) {
	w.t.Helper()
	testkit.Until(w.t, testkit.Timeout, func() error {
		if read := w.readSeq(who, channel); read < seq {
			return errors.New(who.Name + " has not read everything")
		}
		return nil
	})
}

// inView waits until the selector matches an element that is entirely within the message list or,
// if it is taller than the list, fills the list.
func (p *person) inView(selector string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`(() => {
		const e = document.querySelector(%s)?.getBoundingClientRect(), list = document.querySelector('[data-testid="message-list"]').getBoundingClientRect();
		if (e === undefined) return false;
		const within = e.top >= list.top - 1 && e.bottom <= list.bottom + 1, fills = e.top <= list.top + 1 && e.bottom >= list.bottom - 1;
		return within || fills })()`, quote(selector))) // rows have fractions of pixels
}
