package browser_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
)

// maxOpsBytes limits what the first load of the operator's page may transfer. The page needs none
// of the chat's code.
const maxOpsBytes = 30_000

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
	p.await(find("ops-memory", `:not([data-value=""])`))
	p.click(find("ops-history") + " summary")
	for _, width := range []int64{360, 768, 1440} {
		p.resize(width, 900)
		p.checkScreen("ops", width)
	}
	p.resize(360, 900)
	p.fitsLargeText("/ops at 360 px")
	p.open("/ops") // with the usual text size
	p.await(find("ops-connections", `:not([data-value=""])`))

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

// TestOpsCharts checks that the charts show the limits of the alerts, and that the mouse, the
// keyboard and screen readers can read the values at any time.
func TestOpsCharts(t *testing.T) {
	w := newWorld(t)
	w.account("ann")
	p := w.person("ann")
	p.logIn("/")
	p.open("/ops")
	p.await(find("ops-memory", `:not([data-value=""])`))
	for key, limit := range map[string]string{"lagSeconds": "60", "waiting": "500000", "dead": "0", "memory": "70"} {
		line := fmt.Sprintf(`document.querySelector(%s)`, quote(find("ops-chart-"+key)+" "+find("ops-limit")))
		if got := value[string](p, line+`.dataset.limit`); got != limit {
			t.Errorf("the chart of %s has the limit %s, want %s", key, got, limit)
		}
		if !value[bool](p, fmt.Sprintf(`(() => {
			const line = %s.getBoundingClientRect(), plot = %[1]s.parentElement.getBoundingClientRect();
			return line.width === plot.width && line.bottom <= plot.bottom + 1 && line.bottom > plot.top + plot.height / 10 })()`, line)) {
			t.Errorf("the limit of %s is not drawn within its chart", key)
		}
	}

	// Pointing at a chart reads all charts at that time.
	lag := find("ops-chart-lagSeconds") + ` [role="slider"]`
	attribute := func(name string) string {
		return value[string](p, fmt.Sprintf(`document.querySelector(%s).getAttribute(%s)`, quote(lag), quote(name)))
	}
	p.until(fmt.Sprintf(`(s => s.ariaValueMax - s.ariaValueMin >= 4000)(document.querySelector(%s))`, quote(lag))) // at least three samples
	p.hover(lag)
	reading := find("ops-chart-lagSeconds") + " " + find("ops-reading")
	p.await(reading)
	if got := value[string](p, fmt.Sprintf(`document.querySelector(%s).textContent`, quote(reading))); !regexp.MustCompile(`^[\d.]+ s \d\d:\d\d:\d\d$`).MatchString(got) {
		t.Errorf("the reading is %q, want a value and a time", got)
	}
	p.until(`document.querySelectorAll('[data-testid="ops-reading"]').length === document.querySelectorAll(".chart-plot").length`)
	p.screenshot("ops-reading")
	p.do("point elsewhere", chromedp.MouseEvent(chromedp.MouseMoved, 1, 1))
	p.gone(find("ops-reading"))

	// The arrow keys move the reading, which new samples do not.
	p.tabTo(lag)
	p.await(reading)
	newest := attribute("aria-valuenow")
	p.press(kb.ArrowLeft)
	p.until(fmt.Sprintf(`Number(document.querySelector(%s).ariaValueNow) < %s`, quote(lag), newest))
	if got := attribute("aria-valuetext"); !regexp.MustCompile(`^[\d.]+ s at \d\d:\d\d:\d\d$`).MatchString(got) {
		t.Errorf("a screen reader speaks %q, want a value and a time", got)
	}
	p.press(kb.Home)
	p.until(fmt.Sprintf(`(s => s.ariaValueNow === s.ariaValueMin)(document.querySelector(%s))`, quote(lag)))
	last := attribute("aria-valuemax")
	p.until(fmt.Sprintf(`Number(document.querySelector(%s).ariaValueMax) > %s`, quote(lag), last))
	if now, first := attribute("aria-valuenow"), attribute("aria-valuemin"); now != first {
		t.Errorf("a new sample moves the reading from %s to %s", first, now)
	}
	p.accessible("/ops with a reading")
	p.press(kb.Escape)
	p.gone(find("ops-reading"))

	// The same values are in a table.
	p.click(find("ops-history") + " summary")
	p.until(fmt.Sprintf(`/^\d\d:\d\d$/.test(document.querySelector(%s)?.textContent ?? "")`, quote(find("ops-history")+" tbody th")))
	if heads, figures := value[int](p, `document.querySelectorAll('[data-testid="ops-history"] thead th').length`), value[int](p, `document.querySelectorAll(".ops-panel").length`); heads != figures+1 {
		t.Errorf("the table has %d columns for %d figures and the time", heads, figures)
	}
}

// TestOpsOutage checks what the page shows while it loads, if it never reached the server, and if
// it loses the server later.
func TestOpsOutage(t *testing.T) {
	w := newWorld(t)
	w.account("ann")
	p := w.person("ann")
	p.logIn("/")
	p.expectFailures(true)
	// Requests wait until the test calls answer.
	command(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		const request = fetch;
		const answered = new Promise(done => { answer = done });
		fetch = async (...args) => await answered === "fail" ? Promise.reject(new TypeError("Failed to fetch")) : request(...args)`})
	p.open("/ops")
	p.await(`main[aria-busy="true"]`)
	p.await(find("ops-lagSeconds", `[data-value=""]`))
	p.accessible("/ops, loading")
	value[any](p, `(answer("fail"), null)`)
	p.until(`document.querySelector('[data-testid="ops-notice"]')?.textContent.includes("chat-service does not respond")`)
	p.accessible("/ops, server unreachable")
	p.screenshot("ops-unreachable")

	p.open("/ops")
	value[any](p, `(answer("pass"), null)`)
	p.await(find("ops-connections", `:not([data-value=""])`))
	w.proxy.sever()
	p.until(`document.querySelector('[data-testid="ops-troubles"]')?.textContent.includes("chat-service does not respond")`)
	if value[string](p, `document.querySelector('[data-testid="ops-connections"]').dataset.value`) == "" {
		t.Error("the last known figures are gone")
	}
	p.accessible("/ops with figures of an unreachable server")
	p.screenshot("ops-stale")
	w.proxy.mend()
	p.until(`!document.querySelector('[data-testid="ops-troubles"]').textContent.includes("does not respond")`)
	p.expectFailures(false)
}

// TestFirstLoad_ops measures how much data the operator's page loads with an empty cache.
func TestFirstLoad_ops(t *testing.T) {
	w := newWorld(t)
	p := w.person("ann")
	p.open("/ops")
	p.await(find("ops-notice"))
	page, data, requests := p.transferred()
	total := page + data
	t.Logf("%.0f bytes in %d requests", total, requests)
	if total > maxOpsBytes || requests < 3 {
		t.Errorf("the first load transfers %.0f bytes in %d requests, want at most %d bytes", total, requests, maxOpsBytes)
	}
}
