package browser_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// askStrangers is the setting in which users the caller does not know are invited.
var askStrangers = map[string]string{"ADD_WITHOUT_INVITATION": "known"}

// memberRow returns the selector of a member in the members pane.
func memberRow(who account) string { return find("member", fmt.Sprintf(`[data-user-id="%s"]`, who.ID)) }

// outsider returns the selector of a user in the section of invited or banned users.
func outsider(section string, who account) string {
	return find(section) + fmt.Sprintf(` [data-user-id="%s"]`, who.ID)
}

// contacts makes two users contacts.
func (w *world) contacts(a, b account) {
	w.t.Helper()
	w.call("POST", "/v1/contacts", a.Token, map[string]any{"user_id": b.ID}, nil)
	w.call("POST", "/v1/contacts", b.Token, map[string]any{"user_id": a.ID}, nil)
}

// toastSays waits for a toast that contains the text.
func (p *person) toastSays(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`[...document.querySelectorAll('[data-testid="toast"]')].some(e => e.textContent.includes(%s))`, quote(text)))
}

// says waits until the first element that the selector matches has the text.
func (p *person) says(selector, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector(%s)?.textContent.includes(%s) === true`, quote(selector), quote(text)))
}

// TestBans checks that an owner sees the banned users and can lift a ban.
func TestBans(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	w.call("PATCH", "/v1/me", bob.Token, map[string]any{"display_name": "Bob Baker"}, nil)
	tea := w.channel(ann, "tea", "public")
	w.join(bob, tea)
	p := w.person("ann")
	p.prefersLanguage("en-US") // the test expects the page's texts
	p.logIn("/c/" + tea)
	p.click(find("toggle-members"))
	p.click(memberRow(bob) + " " + find("remove-member"))
	p.says(find("dialog")+" h2", "Remove Bob Baker?")
	p.click(find("also-ban"))
	p.click(find("confirm-remove"))
	p.toastSays("Removed and banned Bob Baker.")
	p.gone(memberRow(bob))
	p.gone(find("toast")) // it covers the bottom of the pane
	p.click(find("banned", " summary"))
	p.await(outsider("banned", bob))
	p.accessible("the banned users")
	p.screenshot("banned")

	// The dialog that adds people knows about the ban.
	p.click(find("add-member"))
	p.fill(find("user-search"), "bob")
	p.says(find("user-result"), "Banned")
	p.press(kb.Escape)
	p.gone(find("dialog"))

	// The row stays, so that no other row moves under the pointer.
	p.click(outsider("banned", bob) + " " + find("lift-ban"))
	p.toastSays("Lifted the ban on Bob Baker.")
	p.says(outsider("banned", bob), "Lifted")
	p.gone(outsider("banned", bob) + " " + find("lift-ban"))
	w.join(bob, tea)
	p.await(memberRow(bob))
	p.gone(find("banned"))
}

// TestSuccession checks that the last owner reads who becomes the owner before leaving, and that
// the new owner's open page learns of the new role.
func TestSuccession(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.account("ann"), w.account("bob")
	w.contacts(ann, bob)
	work := w.channel(ann, "work", "private")
	w.call("POST", "/v1/channels/"+work+"/members", ann.Token, map[string]any{"user_id": bob.ID}, nil)
	a, b := w.person("ann"), w.person("bob")
	a.prefersLanguage("en-US")
	b.prefersLanguage("en-US")
	a.logIn("/c/" + work)
	b.logIn("/c/" + work)
	b.await(find("composer"))
	b.connected()
	b.click(find("channel-settings"))
	b.await(find("leave-channel"))
	if value[bool](b, fmt.Sprintf(`document.querySelector(%s) !== null`, quote(find("delete-channel")))) {
		t.Error("a member may delete the channel")
	}

	a.expectFailures(true) // requests that are under way when the user leaves have status 403
	a.click(find("channel-settings"))
	a.click(find("leave-channel"))
	a.says("dialog:last-of-type", "You are its only owner: bob becomes the owner.")
	a.click(find("confirm"))
	a.until(`location.pathname === "/"`)
	b.toastSays("Your role in #work is now: Owner.")
	b.await(find("delete-channel"))
}

// TestInvitations checks that owners see their invitations and can cancel them, and that an
// accepted invitation opens the channel.
func TestInvitations(t *testing.T) {
	w := newWorldWith(t, askStrangers)
	ann, bob, cyd := w.account("ann"), w.account("bob"), w.account("cyd")
	w.contacts(ann, cyd)
	work := w.channel(ann, "work", "private")
	p := w.person("ann")
	p.prefersLanguage("en-US") // the test expects the page's texts
	p.logIn("/c/" + work)
	p.click(find("toggle-members"))
	search := func(name string) {
		t.Helper()
		p.click(find("add-member"))
		p.fill(find("user-search"), name)
		p.await(find("user-result"))
	}
	closeDialog := func() {
		t.Helper()
		p.press(kb.Escape)
		p.gone(find("dialog"))
	}
	invite := func() {
		t.Helper()
		search("bob")
		p.says(find("add-person"), "Invite")
		p.click(find("add-person"))
		p.gone(find("add-person"))
		p.says(find("user-result"), "Invited")
		closeDialog()
		p.await(outsider("invited", bob) + " " + find("cancel-invitation"))
	}
	invite()
	p.accessible("the invited users")
	p.screenshot("invited")
	search("bob") // the dialog remembers
	p.says(find("user-result"), "Invited")
	p.gone(find("add-person"))
	closeDialog()
	p.click(outsider("invited", bob) + " " + find("cancel-invitation"))
	p.says(outsider("invited", bob), "Canceled")
	p.toastSays("Canceled the invitation to bob.")
	var got struct{ Items []struct{ ID string } }
	w.call("GET", "/v1/invitations", bob.Token, nil, &got)
	if len(got.Items) != 0 {
		t.Errorf("bob still has %d invitations", len(got.Items))
	}
	invite()

	search("cyd")
	p.says(find("add-person"), "Add")
	p.click(find("add-person"))
	p.says(find("user-result"), "Already added")
	closeDialog()
	p.await(memberRow(cyd))

	b := w.person("bob")
	b.prefersLanguage("en-US") // the test expects the page's texts
	b.logIn("/")
	b.click(find("accept-invitation"))
	b.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+work)))
	b.await(find("composer"))
	p.gone(find("invited"))
	p.await(memberRow(bob))
}

// TestRemove checks that removing a member says so, and offers only what brings the user back.
func TestRemove(t *testing.T) {
	w := newWorldWith(t, askStrangers)
	ann, bob, cyd := w.account("ann"), w.account("bob"), w.account("cyd")
	w.contacts(ann, bob)
	tea := w.channel(ann, "tea", "public")
	w.join(bob, tea)
	w.join(cyd, tea)
	w.call("PATCH", "/v1/channels/"+tea+"/members/"+bob.ID, ann.Token, map[string]any{"role": "admin"}, nil)
	p := w.person("ann")
	p.prefersLanguage("en-US") // the test expects the page's texts
	p.logIn("/c/" + tea)
	p.click(find("toggle-members"))
	remove := func(who account) {
		t.Helper()
		p.click(memberRow(who) + " " + find("remove-member"))
		p.click(find("confirm-remove"))
		p.gone(memberRow(who))
		p.toastSays("Removed " + who.Name + ".")
	}
	remove(bob)
	p.says(find("undo"), "Undo")
	p.click(find("undo"))
	p.until(fmt.Sprintf(`document.querySelector(%s)?.value === "admin"`, quote(memberRow(bob)+" "+find("member-role"))))

	remove(cyd)
	p.says(find("undo"), "Invite again")
	p.click(find("undo"))
	p.toastSays("Invited cyd.")
	p.await(outsider("invited", cyd))
}

// TestJoinPage checks what the page says about a channel that the user has not joined, and
// that there is a button to join only if it works.
func TestJoinPage(t *testing.T) {
	w := newWorldWith(t, map[string]string{"RATE_LIMIT_REJOIN": "off"})
	ann, bob := w.account("ann"), w.account("bob")
	tea, work := w.channel(ann, "tea", "public"), w.channel(ann, "work", "private")
	w.call("PATCH", "/v1/channels/"+tea, ann.Token, map[string]any{"description": "Green and black"}, nil)
	w.call("POST", "/v1/channels/"+work+"/members", ann.Token, map[string]any{"user_id": bob.ID}, nil)
	remove := func(channel, query string) {
		t.Helper()
		w.call("DELETE", "/v1/channels/"+channel+"/members/"+bob.ID+query, ann.Token, nil, nil)
	}
	door := func(p *person, name, title string) {
		t.Helper()
		p.await(find("join-page", fmt.Sprintf(`[data-door="%s"]`, name)))
		p.says(find("join-page")+" h1", title)
		if name != "open" {
			p.gone(find("join-button"))
		}
	}
	p := w.person("bob")
	p.prefersLanguage("en-US") // the test expects the page's texts
	// The SDK reports a removal only if it knows the membership. An acknowledged message proves it.
	enter := func() {
		t.Helper()
		p.click(find("join-button"))
		p.say("Here I am")
		p.until(status("sent"))
	}
	p.logIn("/c/" + tea)
	door(p, "open", "Join #tea?")
	p.says(find("channel-topic"), "Green and black")
	p.accessible("a public channel before joining")
	p.screenshot("join")
	enter()

	// The preview of a hidden channel has status 404, and requests that are under way when the user
	// leaves or is removed have status 403.
	p.expectFailures(true)
	p.click(find("channel-settings"))
	p.click(find("leave-channel"))
	p.until(`location.pathname === "/"`)
	value[any](p, `(history.back(), null)`)
	door(p, "open", "You left #tea")
	enter()
	remove(tea, "")
	door(p, "open", "You were removed from #tea")
	enter()
	remove(tea, "?ban=true")
	door(p, "banned", "You can't join #tea")

	p.openChannel(work)
	p.await(find("composer"))
	remove(work, "")
	door(p, "hidden", "You were removed from #work")
	p.open("/c/" + work)
	door(p, "hidden", "You can't open this channel")
	p.accessible("a private channel")
	p.screenshot("private")

	// A new user who follows a link is in the channel, if it is open.
	cyd, dan := w.person("cyd"), w.person("dan")
	cyd.prefersLanguage("en-US")
	dan.prefersLanguage("en-US")
	cyd.open("/c/" + tea)
	cyd.enter()
	cyd.await(find("composer"))
	cyd.lists(channelLink(tea))
	dan.expectFailures(true)
	dan.open("/c/" + work)
	dan.enter()
	door(dan, "hidden", "You can't open this channel")
}
