package browser_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley.chat/internal/devkit/testkit"
)

// TestWatch checks that watch records the events that must not occur, because all other tests rely
// on it.
func TestWatch(t *testing.T) {
	w := newWorld(t)
	p := w.person("ann")
	p.open("/")
	p.await(find("submit"))
	value[any](p, `(() => {
		console.error("loud");
		setTimeout(() => { throw new Error("thrown") }, 0);
		fetch("/v1/nothing");
		fetch("http://127.0.0.1:9/elsewhere").catch(() => {});
		const script = document.createElement("script"); script.textContent = "window.inline = 1"; document.body.append(script);
		return null })()`)
	for _, want := range []string{"console: loud", "thrown", "/v1/nothing = 404", "127.0.0.1:9/elsewhere", "inline"} {
		testkit.Until(t, testkit.Timeout, func() error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if !slices.ContainsFunc(p.problems, func(s string) bool { return strings.Contains(s, want) }) {
				return fmt.Errorf("%q was not recorded in %q", want, p.problems)
			}
			return nil
		})
	}
	if value[bool](p, `"inline" in window`) {
		t.Error("the content security policy allows an inline script")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = nil
}
