package browser_test

import (
	"errors"
	"fmt"
	"testing"

	"parley.chat/internal/devkit/testkit"
)

// Limits of what the first page load transfers, in bytes. With a channel, the answers of the API do
// not count. A page in another language than English also loads its catalog.
const (
	maxBytes            = 60_000
	maxBytesWithChannel = 83_000
)

// TestFirstLoad measures how much data a new visitor and a signed-in user load with an empty cache.
func TestFirstLoad(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.filledChannel(ann, 200)
	p := w.person("ann")
	p.prefersLanguage("en-US")
	p.open("/")
	p.await(find("submit"))
	page, data, requests := p.transferred()
	t.Logf("the sign-in screen: %.0f bytes of the page, %.0f bytes of data, in %d requests", page, data, requests)
	if page+data > maxBytes || requests < 3 {
		t.Errorf("the first load transfers %.0f bytes in %d requests, want at most %d bytes", page+data, requests, maxBytes)
	}
	p.logIn("/c/" + tea)
	p.reads("message 200")
	page, data, requests = p.transferred()
	t.Logf("including a channel: %.0f bytes of the page, %.0f bytes of data, in %d requests", page, data, requests)
	if page > maxBytesWithChannel {
		t.Errorf("with a channel, the load transfers %.0f bytes of the page, want at most %d", page, maxBytesWithChannel)
	}
}

// screen is one screen of the page, and the steps that lead to it.
type screen struct {
	name string
	at   place // where the steps start
	show func(p *person, s scene)
}

// place is an address of the page.
type place int

const (
	atList    place = iota // the list of channels; in a wide window, next to a channel
	atChannel              // the channel with the messages
	atHome                 // no channel is open
	atDirect               // a direct conversation
	atJoin                 // a channel that the user has not joined
	atNowhere              // an unknown address
)

func (at place) path(s scene, narrow bool) string {
	switch at {
	case atDirect:
		return "/c/" + s.direct
	case atJoin:
		return "/c/" + s.notJoined
	case atNowhere:
		return "/nothing/here"
	case atList, atHome:
		if narrow || at == atHome {
			return "/"
		}
	}
	return "/c/" + s.main
}

// opens returns a function that opens a dialog with a control and waits for an element in it.
func opens(control, sign string) func(*person, scene) {
	return func(p *person, _ scene) { p.click(find(control)); p.await(find(sign)) }
}

// acts returns a function that uses an action on ann's newest message and waits for an element.
func acts(action, sign string) func(*person, scene) {
	return func(p *person, s scene) {
		p.act(message(s.own), action)
		p.await(find(sign))
	}
}

// settings returns a function that opens a tab of the settings and waits for an element in it.
func settings(tab, sign string) func(*person, scene) {
	return func(p *person, _ scene) { p.openSettings(tab); p.await(find(sign)) }
}

// searches returns a function that opens a dialog with a search for users, and finds bob.
func searches(control string) func(*person, scene) {
	return func(p *person, s scene) {
		p.click(find(control))
		p.fill(find("user-search"), "bob"+s.suffix)
		p.await(find("user-result"))
	}
}

// pops returns a function that opens a popover of ann's newest message and waits for an element.
func pops(control, sign string) func(*person, scene) {
	return func(p *person, s scene) { p.pops(message(s.own), control, find(sign)) }
}

// fromMenu returns a function that chooses an action in the menu of ann's newest message and waits
// for an element.
func fromMenu(action, sign string) func(*person, scene) {
	return func(p *person, s scene) {
		p.actFromMenu(message(s.own), action)
		p.await(find(sign))
	}
}

var screens = []screen{
	{"chat", atChannel, func(p *person, s scene) { p.inView(message(s.own)); p.hover(find("channel-title")) }},
	{"toolbar", atChannel, func(p *person, s scene) { p.inView(message(s.own)); p.hover(message(s.own)) }},
	{"reply", atChannel, acts("reply", "reply-preview")},
	{"edit", atChannel, acts("edit", "edit-save")},
	{"react", atChannel, pops("react", "emoji-field")},
	{"emoji-search", atChannel, func(p *person, s scene) {
		pops("react", "emoji-field")(p, s)
		p.fill(find("emoji-field"), "😀")
		p.await(find("emoji", `[data-emoji="😀"]`))
	}},
	{"message-menu", atChannel, pops("more-actions", "copy-text")},
	{"receipts", atChannel, fromMenu("receipts", "popover")},
	{"delete-message", atChannel, fromMenu("delete", "confirm-delete")},
	{"direct", atDirect, func(p *person, _ scene) { p.await(find("message")) }},
	{"members", atChannel, func(p *person, _ scene) { p.showMembers() }},
	{"add-member", atChannel, func(p *person, s scene) {
		p.showMembers()
		searches("add-member")(p, s)
	}},
	{"remove-member", atChannel, func(p *person, s scene) {
		p.showMembers()
		opens("remove-member", "confirm-remove")(p, s)
	}},
	{"person", atChannel, func(p *person, s scene) {
		p.showMembers()
		p.click(find("member", fmt.Sprintf(`[data-user-id="%s"] .member-who`, s.accounts["bob"].ID)))
		p.await(find("block"))
	}},
	{"channel-settings", atChannel, opens("channel-settings", "dialog")},
	{"delete-channel", atChannel, func(p *person, _ scene) {
		p.click(find("channel-settings"))
		p.click(find("delete-channel"))
		p.await(find("confirm-name"))
	}},
	{"home", atHome, func(p *person, _ scene) { p.await(find("channel-link")) }},
	{"join-page", atJoin, func(p *person, _ scene) { p.await(find("join-button")) }},
	{"not-found", atNowhere, func(p *person, _ scene) { p.await("main .button") }},
	{"create-channel", atList, opens("create-channel", "channel-name")},
	{"browse", atList, opens("browse-channels", "browse-result")},
	{"join", atList, opens("join-channel", "join-field")},
	{"new-direct", atList, searches("new-direct")},
	{"switcher", atList, opens("open-switcher", "switcher-field")},
	{"contacts", atList, opens("open-contacts", "dialog")},
	{"groups", atList, opens("open-groups", "dialog")},
	{"group", atList, opens("open-group", "dialog")},
	{"new-section", atList, opens("new-section", "section-name")},
	{"account-menu", atList, opens("account-menu", "open-settings")},
	{"settings", atList, settings("profile", "display-name")},
	{"device-settings", atList, settings("appearance", "language")},
	{"sessions", atList, settings("sessions", "session")},
	{"account", atList, func(p *person, _ scene) { p.openSettings("account") }},
	{"shortcuts", atList, func(p *person, _ scene) { p.press("/", ctrl); p.await(find("dialog")) }},
}

// TestScreens checks that every screen fits windows of three widths, with short and long names and
// messages, right-to-left ones, and Chinese, Japanese and Korean ones; and that it is accessible in
// light and dark. It writes screenshots into screenshots/.
func TestScreens(t *testing.T) {
	w := newWorld(t)
	for _, s := range variantOf(t).stories() {
		t.Run(s.name, func(t *testing.T) {
			w.showScreens(t, s)
		})
	}
}

func (w *world) showScreens(t *testing.T, s story) {
	p := w.person("ann" + s.suffix)
	p.open("/")
	p.await(find("submit"))
	if missing := p.withoutGlyph(s.sample); missing != "" {
		t.Skipf("no font has a glyph for %s: install fonts (Debian: fonts-dejavu-core, fonts-wqy-zenhei, fonts-noto-color-emoji)", missing)
	}
	sc := w.scene(s)
	// All stories have the same sign-in screen, and the same elements for axe to check.
	first := s.name == stories[0].name
	widths := []int64{1440, 820, 390}
	for _, width := range widths {
		p.resize(width, 900)
		if first {
			p.checkScreen("sign-in", width)
		}
	}
	p.logIn("/")
	for _, width := range widths {
		p.resize(width, 900)
		for _, screen := range screens {
			p.expectFailures(screen.at == atNowhere)
			p.open(screen.at.path(sc, p.narrow()))
			p.connected()
			if screen.at == atList {
				p.await(find("open-group")) // groups are loaded last, and move the controls below them
			}
			screen.show(p, sc)
			if name := screen.name + "-" + s.name; first {
				p.checkScreen(name, width)
			} else {
				p.picture(name, width)
			}
		}
	}
	p.expectFailures(false)
}

// act moves the mouse over a message until its toolbar is shown, and then uses one of its actions.
// The message may move at first, while messages above it are being measured.
func (p *person) act(row, action string) {
	p.t.Helper()
	testkit.Until(p.t, testkit.Timeout, func() error {
		p.hover(row)
		if !value[bool](p, fmt.Sprintf(`(() => {
			const button = document.querySelector(%s);
			const shown = button !== null && button.getClientRects().length > 0;
			if (shown) button.click();
			return shown })()`, quote(row+" "+find(action)))) {
			return errors.New("the message's toolbar is not shown")
		}
		return nil
	})
}

// pops opens a popover of a message with a control of its toolbar, and waits for an element in it.
// It opens the popover again if a list that still moves closes it.
func (p *person) pops(row, control, sign string) {
	p.t.Helper()
	testkit.Until(p.t, testkit.Timeout, func() error {
		if value[bool](p, fmt.Sprintf(`document.querySelector(%s) !== null`, quote(find("popover")+" "+sign))) {
			return nil
		}
		if !value[bool](p, fmt.Sprintf(`document.querySelector(%s) !== null`, quote(row+" .toolbar-open"))) {
			p.act(row, control)
		}
		return errors.New("the popover is not shown")
	})
}

// showMembers shows the members of the open channel, which may be shown already.
func (p *person) showMembers() {
	p.t.Helper()
	p.await(find("toggle-members"))
	if !value[bool](p, fmt.Sprintf(`document.querySelector(%s) !== null`, quote(find("members")))) {
		p.click(find("toggle-members"))
	}
	p.await(find("member", "[data-online]")) // from then on, the list keeps its order
}

// narrow reports whether the window has room for only one pane.
func (p *person) narrow() bool {
	p.t.Helper()
	return value[bool](p, `matchMedia("(max-width: 45em)").matches`)
}

// checkScreen checks the current screen and takes screenshots in light and dark.
func (p *person) checkScreen(name string, width int64) {
	p.t.Helper()
	p.accessible(fmt.Sprintf("%s at %d px", name, width))
	p.picture(name, width)
}

// picture checks that the current screen fits, and takes screenshots in light and dark.
func (p *person) picture(name string, width int64) {
	p.t.Helper()
	p.fitsWidth(fmt.Sprintf("%s at %d px", name, width))
	file := fmt.Sprintf("%s-%d", name, width)
	if p.variant.name != "" {
		file = p.variant.name + "-" + file
	}
	p.screenshot(file)
	p.scheme("dark")
	p.capture(file + "-dark")
	p.colors = "light"
	p.emulate()
}

// withoutGlyph returns the characters that no font has a glyph for. They are drawn like a character
// of a private-use plane, which never has one.
func (p *person) withoutGlyph(characters string) string {
	p.t.Helper()
	return value[string](p, fmt.Sprintf(`(() => {
		const draw = c => {
			const canvas = document.createElement("canvas"), pen = canvas.getContext("2d", { willReadFrequently: true });
			canvas.width = canvas.height = 40;
			pen.font = "24px " + getComputedStyle(document.body).fontFamily;
			pen.fillText(c, 4, 28);
			return pen.getImageData(0, 0, 40, 40).data.join();
		};
		const missing = draw("\u{10FFFD}");
		return [...%s].filter(c => draw(c) === missing).join("") })()`, quote(characters)))
}

// TestMembersDrawer checks that the page remembers whether the members are shown only where there
// is room for them. In a narrower window, they would cover the messages of every channel.
func TestMembersDrawer(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	p := w.person("ann")
	p.resize(p.variant.text(900), 800)
	p.logIn("/c/" + tea)
	p.click(find("toggle-members"))
	p.await(find("member"))
	p.openChannel(work)
	p.gone(find("members"))
	p.click(find("toggle-members"))
	p.await(find("member"))
	p.open("/c/" + work)
	p.await(find("composer")) // otherwise the members would be missing because the channel is
	p.gone(find("members"))

	p.resize(p.variant.text(1280), 800)
	p.click(find("toggle-members"))
	p.await(find("member"))
	p.openChannel(tea)
	p.await(find("members"))
	p.open("/c/" + tea)
	p.await(find("members"))
	p.resize(p.variant.text(900), 800)
	p.gone(find("members"))
}

// TestMembersBack checks that Back closes the members where they cover the messages, and only
// there.
func TestMembersBack(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "public")
	p := w.person("ann")
	p.resize(390, 844)
	p.logIn("/c/" + tea) // on the first entry of the page
	p.click(find("toggle-members"))
	p.await(find("member"))
	p.goBack()
	p.gone(find("members"))
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+tea)))

	p.resize(p.variant.text(900), 800)
	p.openChannel(work)
	p.click(find("toggle-members"))
	p.click(find("member") + " .member-who")
	p.await(find("popover"))
	p.goBack()
	p.gone(find("popover"))
	p.await(find("members"))
	p.goBack()
	p.gone(find("members"))
	p.until(fmt.Sprintf(`location.pathname === %s && %s`, quote("/c/"+work), focused(find("composer"))))
	p.goBack()
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+tea)))

	// Beside the messages, the members are no layer of their own.
	p.resize(p.variant.text(1280), 800)
	p.click(find("toggle-members"))
	p.await(find("member"))
	p.openChannel(work)
	p.goBack()
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+tea)))
	p.await(find("members"))
}
