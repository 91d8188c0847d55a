package browser_test

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
)

// TestOps checks that the operator's page shows live figures, reports problems, and is accessible.
func TestOps(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.channel(ann, "tea", "public")
	p := w.person("ann")
	p.open("/ops")
	p.await(find("ops-notice"))
	p.accessible("/ops, signed out")
	p.logIn("/")
	p.open("/ops")
	p.await(find("ops-connections", `:not([data-value=""])`))
	p.await(find("ops-target", `[data-up="true"]`))
	before := value[int](p, `document.querySelectorAll(".chart-line").length`)
	for i := range 50 {
		w.say(ann, tea, fmt.Sprint(i))
	}
	p.until(`Number(document.querySelector('[data-testid="ops-inserted"]').dataset.value) > 0`)
	p.until(`Number(document.querySelector('[data-testid="ops-entries"]').dataset.value) >= 50`)
	p.until(fmt.Sprintf(`document.querySelectorAll(".chart-line").length > %d`, before))
	other := w.person("ben")
	other.signUp()
	p.until(`document.querySelector('[data-testid="ops-connections"]').dataset.value === "1"`)
	p.accessible("/ops")
	for _, width := range []int64{360, 768, 1440} {
		p.resize(width, 900)
		p.fitsWidth(fmt.Sprintf("/ops at %d px", width))
		p.screenshot(fmt.Sprintf("ops-%d", width))
	}

	// A figure above its limit is highlighted and names a command.
	if value[bool](p, `document.querySelector(".ops-alarm") !== null`) {
		t.Error("an alarm is shown although nothing is wrong")
	}
	if err := w.redis.XAdd(t.Context(), &redis.XAddArgs{Stream: rediskey.Dead(3), Values: []string{"kind", "test"}}).Err(); err != nil {
		t.Fatal(err)
	}
	p.await(find("ops-dead", `[data-value="1"].ops-alarm`))
	p.until(`document.querySelector('[data-testid="ops-troubles"]').textContent.includes("Dead letters")`)
	if !value[bool](p, `[...document.querySelectorAll('[data-testid="ops-dead"] code')].some(e => e.textContent === "sync-service dead list")`) {
		t.Error("no command is shown for dead letters")
	}
	p.accessible("/ops with an alarm")
	p.screenshot("ops-alarm")
}
