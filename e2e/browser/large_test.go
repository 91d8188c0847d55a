package browser_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/runtime"
)

// maxRows is the maximum number of messages in the document, no matter how many the channel has.
const maxRows = 150

// TestManyMessages checks that a channel of 10,000 messages can be scrolled in both directions with
// a bounded document.
func TestManyMessages(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	const many = 10_000
	tea := w.filledChannel(ann, many)
	p := w.person("ann")
	p.logIn("/c/" + tea)
	p.reads(fmt.Sprintf("message %d", many))
	bounded := func(where string) {
		t.Helper()
		if n := value[int](p, `document.querySelectorAll('[data-testid="message"]').length`); n == 0 || n > maxRows {
			t.Errorf("%s: %d rows in the document, want at most %d", where, n, maxRows)
		}
	}
	bounded("at the newest")

	// Scroll up page by page. Each page must appear without gaps.
	for range 12 {
		before := p.oldest()
		p.scroll(`list.scrollTop = 0`)
		p.until(fmt.Sprintf(`%s < %d`, oldestSeq, before))
		bounded("on the way up")
		p.contiguous()
	}
	// Follow a link to a distant message, and scroll down from there.
	p.open("/c/" + tea + "?m=5000")
	p.connected()
	p.until(fmt.Sprintf(`(() => { const r = document.querySelector(%s)?.getBoundingClientRect(); return r !== undefined && r.top >= 0 && r.bottom <= innerHeight })()`, quote(message(5000))))
	bounded("at 5000")
	p.contiguous()
	p.scroll(`list.scrollTop = list.scrollHeight`)
	p.until(fmt.Sprintf(`%s > 5020`, newestSeq))
	bounded("below 5000")
	p.contiguous()
	p.click(find("jump-to-newest"))
	p.reads(fmt.Sprintf("message %d", many))
	bounded("at the newest again")
	p.say("and one more")
	p.reads("and one more")
}

// maxHeap limits the JavaScript heap after 5,000 messages were read, in bytes.
const maxHeap = 10 << 20

// TestHeap checks how much memory the page uses after the user has scrolled through 5,000 messages.
// It logs how smoothly they scrolled; that depends on the machine, so it is not checked.
func TestHeap(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.filledChannel(ann, 5000)
	p := w.person("ann")
	p.logIn("/c/" + tea)
	p.reads("message 5000")
	before := p.heap()
	value[any](p, `(() => {
		window.longTasks = [];
		new PerformanceObserver(list => longTasks.push(...list.getEntries().map(e => e.duration))).observe({ type: "longtask" });
		return null })()`)
	// Each step scrolls by half a window, and takes from the scroll to the next painted frame.
	var steps []float64
	for p.oldest() > 1 {
		steps = append(steps, value[[]float64](p, `(async () => {
			const list = document.querySelector('[data-testid="message-list"]'), took = [];
			for (let i = 0; i < 20; i++) {
				const began = performance.now();
				list.scrollTop -= list.clientHeight / 2;
				await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
				took.push(performance.now() - began);
			}
			return took })()`)...)
	}
	tasks := value[[]float64](p, `window.longTasks`)
	after := p.heap()
	t.Logf("the heap: %.1f MiB with one page of messages, %.1f MiB after 5,000", before/(1<<20), after/(1<<20))
	t.Logf("%d steps of scrolling, up to the next frame: median %.0f ms, slowest %.0f ms; %d tasks above 50 ms: median %.0f ms, slowest %.0f ms",
		len(steps), median(steps), slices.Max(steps), len(tasks), median(tasks), slices.Max(append(tasks, 0)))
	if after > maxHeap {
		t.Errorf("after 5,000 messages, the heap has %.1f MiB, want at most %d MiB", after/(1<<20), maxHeap>>20)
	}
}

// heap returns the size of all live JavaScript objects, in bytes.
func (p *person) heap() float64 {
	p.t.Helper()
	command(p, heapprofiler.CollectGarbage, cdp.Empty{})
	return command(p, runtime.GetHeapUsage, cdp.Empty{}).UsedSize
}

// median returns 0 for an empty list.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(list))[len(list)/2]
}

// TestReducedMotion checks that a full channel opens and scrolls while the system asks for reduced
// motion, and that nothing is animated.
func TestReducedMotion(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	tea := w.filledChannel(ann, 300)
	p := w.person("ann")
	p.reduceMotion()
	p.logIn("/c/" + tea)
	p.reads("message 300")
	before := p.oldest()
	p.scroll(`list.scrollTop = 0`)
	p.until(fmt.Sprintf(`%s < %d`, oldestSeq, before))
	p.contiguous()
	p.open("/c/" + tea + "?m=150")
	p.await(message(150))
	p.contiguous()
	if n := value[int](p, `document.getAnimations().length`); n > 0 {
		t.Errorf("%d animations run", n)
	}
}

const (
	oldestSeq = `Math.min(...[...document.querySelectorAll('[data-testid="message"]')].map(e => Number(e.dataset.seq)))`
	newestSeq = `Math.max(...[...document.querySelectorAll('[data-testid="message"]')].map(e => Number(e.dataset.seq)))`
)

func (p *person) oldest() int64 { p.t.Helper(); return value[int64](p, oldestSeq) }

func (p *person) scroll(how string) {
	p.t.Helper()
	value[any](p, fmt.Sprintf(`(() => {
		let list = document.querySelector('[data-testid="message-list"]');
		for (; list !== null && list.scrollHeight <= list.clientHeight; list = list.parentElement);
		%s; list.dispatchEvent(new Event("scroll")); return null })()`, how))
}

// contiguous waits until the rows in the document have consecutive seqs, from top to bottom.
func (p *person) contiguous() {
	p.t.Helper()
	p.until(`(() => {
		const rows = [...document.querySelectorAll('[data-testid="message"]')].sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top);
		return rows.length > 0 && rows.every((e, i) => i === 0 || Number(e.dataset.seq) === Number(rows[i - 1].dataset.seq) + 1) })()`)
}

// TestManyChannels checks that the page loads and switches channels quickly with 500 channels.
func TestManyChannels(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann")
	ids := w.fillChannels(ann, 500)
	p := w.person("ann")
	p.logIn("/")
	p.until(`document.querySelectorAll('[data-testid="channel-link"]').length > 0`)
	p.press("k", ctrl)
	p.await(find("switcher-field"))
	p.press("channel 499")
	p.until(`document.querySelector('[data-testid="switcher-result"]')?.textContent.includes("channel 499") === true`)
	p.press("\r")
	p.until(fmt.Sprintf(`location.pathname === %s`, quote("/c/"+ids[499])))
	p.say("here as anywhere")
	p.until(status("sent"))
	// Switching must not render all 500 rows, so that it takes about one frame.
	slow := value[float64](p, `(async () => {
		const links = [...document.querySelectorAll('[data-testid="channel-link"]')].slice(0, 5);
		let worst = 0;
		for (const link of links) {
			const began = performance.now();
			link.click();
			await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
			worst = Math.max(worst, performance.now() - began);
		}
		return worst })()`)
	if slow > 1000 {
		t.Errorf("switching channels takes %.0f ms, want at most 1000", slow)
	}
	t.Logf("the slowest switch took %.0f ms", slow)
}

// filledChannel returns a channel with messages that were stored long ago. The channel must have no
// counter in Redis, because that counter would assign a seq that is already used.
func (w *world) filledChannel(by account, count int) string {
	w.t.Helper()
	channel := w.fillChannels(by, 1)[0]
	w.exec(`insert into messages (channel_id, seq, id, kind, sender_id, data, body, sent_at)
		select $1::uuid, i, gen_random_uuid(), 'message', $2::uuid, jsonb_build_object('sender_name', $3::text), 'message ' || i, now() - interval '2 days' + i * interval '10 seconds'
		from generate_series(1, $4::int) i`, channel, by.ID, by.Name, count)
	return channel
}

// fillChannels makes a user the owner of many new channels and returns their ids by name.
func (w *world) fillChannels(of account, count int) []string {
	w.t.Helper()
	rows, err := w.pool.Query(context.Background(), `with made as (
			insert into channels (id, kind, name) select gen_random_uuid(), 'public', 'channel ' || to_char(i, 'FM000') from generate_series($3::int, $3::int + $2::int - 1) i returning id, name
		), joined as (insert into channel_members (channel_id, user_id, role) select id, $1::uuid, 'owner' from made)
		select id::text from made order by name`, of.ID, count, w.filled)
	w.filled += count
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil || len(ids) != count {
		w.t.Fatalf("%d channels, %v", len(ids), err)
	}
	return ids
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}
