package browser_test

import (
	"errors"
	"fmt"
	"testing"

	"parley.chat/internal/devkit/testkit"
)

// TestToastPlace checks that toasts cover neither the newest message, nor the button that jumps to
// it, nor the message field.
func TestToastPlace(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.filledChannel(ann, 60)
	p := w.person("ann")
	p.logIn("/c/" + tea)
	for _, width := range []int64{1280, 390} {
		p.resize(width, 844)
		p.open("/c/" + tea)
		p.connected()
		p.reads("message 60")
		p.dropFile()
		p.focusOn(find("toast") + " button") // keeps it shown
		p.clearOfToasts(find("message", `[data-seq="60"]`), width)
		p.clearOfToasts(find("composer"), width)
		testkit.Until(t, testkit.Timeout, func() error { // a list that is still being measured scrolls to its end
			p.scroll(`list.scrollTop = 0`)
			p.painted()
			if !value[bool](p, fmt.Sprintf(`document.querySelector(%s) !== null`, quote(find("jump-to-newest")))) {
				return errors.New("the list is at its end")
			}
			return nil
		})
		p.clearOfToasts(find("jump-to-newest"), width)
	}
}

// dropFile drops a file on the messages, which shows a toast.
func (p *person) dropFile() {
	p.t.Helper()
	p.await(find("message-list"))
	value[any](p, `(() => {
		const files = new DataTransfer();
		files.items.add(new File(["x"], "x.png", { type: "image/png" }));
		const drop = new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true });
		document.querySelector('[data-testid="message-list"]').dispatchEvent(drop);
		if (!drop.defaultPrevented) throw new Error("the browser would open the file");
		return null })()`)
	p.await(find("toast"))
}

// clearOfToasts fails the test if a toast overlaps the element. A toast must be visible.
func (p *person) clearOfToasts(selector string, width int64) {
	p.t.Helper()
	p.await(selector)
	if value[bool](p, fmt.Sprintf(`(() => {
		const a = document.querySelector('[data-testid="toast"]').getBoundingClientRect();
		const b = document.querySelector(%s).getBoundingClientRect();
		return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom })()`, quote(selector))) {
		p.t.Errorf("at %d px, a toast covers %s", width, selector)
	}
}
