package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"parley.chat/internal/devkit/testkit"
)

// person is a user with a browser window of their own.
type person struct {
	w    *world
	t    *testing.T
	name string
	tab  context.Context

	variant variant
	colors  string // the system's color scheme

	mu       sync.Mutex // guards the fields below: Chromium's goroutine writes, the test reads
	offline  bool       // whether failures are expected at the moment
	problems []string
	requests map[network.RequestID]*request
}

// request is a request that a page has sent.
type request struct {
	url   string
	bytes float64 // received, including headers
}

// person opens an empty window.
func (w *world) person(name string) *person {
	w.t.Helper()
	return w.window(w.chrome, name, chromedp.WithNewBrowserContext())
}

// another opens another tab of the same browser, with the same cookies and storage.
func (p *person) another() *person {
	p.t.Helper()
	return p.w.window(p.tab, p.name)
}

func (w *world) window(in context.Context, name string, options ...chromedp.ContextOption) *person {
	w.t.Helper()
	p := &person{w: w, t: w.t, name: name, variant: variantOf(w.t), colors: "light", requests: map[network.RequestID]*request{}}
	tab, end := chromedp.NewContext(in, append(options, chromedp.WithListener(p.watch))...)
	p.tab = tab
	// The first call creates the tab, which lives as long as its context.
	if err := chromedp.Do(tab); err != nil {
		w.t.Fatalf("%s: open a window: %v", name, err)
	}
	command(p, network.Enable, network.EnableParams{})
	command(p, log.Enable, cdp.Empty{})
	command(p, runtime.Enable, cdp.Empty{})
	command(p, page.Enable, page.EnableParams{})
	command(p, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}) // several windows have the focus at the same time
	p.resize(p.variant.width, p.variant.height)
	p.emulate()
	w.t.Cleanup(func() {
		if w.t.Failed() {
			p.screenshot("failed-" + strings.ReplaceAll(w.t.Name(), "/", "-") + "-" + name)
		}
		end()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, problem := range p.problems {
			w.t.Errorf("%s's page: %s", name, problem)
		}
	})
	return p
}

// watch records events that must not occur on a page. Chromium's goroutine calls it.
func (p *person) watch(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.record("exception: %s %s", e.ExceptionDetails.Text, texts([]*runtime.RemoteObject{e.ExceptionDetails.Exception}))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			p.record("console: %s", texts(e.Args))
		}
	case *log.EventEntryAdded:
		if (e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning) && !p.offline {
			p.record("log: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *page.EventJavascriptDialogOpening:
		p.record("dialog: %s", e.Message)
	case *network.EventRequestWillBeSent:
		p.requests[e.RequestID] = &request{url: e.Request.URL}
		if u, err := url.Parse(e.Request.URL); err != nil || u.Host != p.w.host() && u.Scheme != "data" && u.Scheme != "blob" {
			p.record("request to another host: %s", e.Request.URL)
		}
	case *network.EventWebSocketCreated:
		if u, err := url.Parse(e.URL); err != nil || u.Host != p.w.host() {
			p.record("socket to another host: %s", e.URL)
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 && !p.offline {
			p.record("%s = %d", e.Response.URL, e.Response.Status)
		}
	case *network.EventLoadingFailed:
		if !e.Canceled && !p.offline {
			p.record("request failed: %s", e.ErrorText)
		}
	case *network.EventLoadingFinished:
		if r, known := p.requests[e.RequestID]; known {
			r.bytes = e.EncodedDataLength
		}
	}
}

func (p *person) record(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

func texts(args []*runtime.RemoteObject) string {
	var list []string
	for _, a := range args {
		if a == nil {
			continue
		}
		list = append(list, strings.Trim(string(a.Value), `"`)+a.Description)
	}
	return strings.Join(list, " ")
}

// expectFailures sets whether failures are expected from now on.
func (p *person) expectFailures(offline bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offline = offline
}

// transferred returns the bytes received so far, including headers, for files of the page and for
// data from the API.
func (p *person) transferred() (page, data float64, requests int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if strings.HasPrefix(r.url, p.w.proxy.url()+"/v1/") {
			data += r.bytes
		} else {
			page += r.bytes
		}
	}
	return page, data, len(p.requests)
}

// try runs an action in the window, with a timeout.
func try[T any](p *person, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.tab, testkit.Timeout)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// command sends a command of the DevTools protocol.
func command[P, R any](p *person, cmd cdp.Command[P, R], params P) R {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.tab, testkit.Timeout)
	defer cancel()
	r, err := chromedp.Call(ctx, cmd, params)
	if err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	return r
}

func (p *person) do(what string, action chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if _, err := try(p, action); err != nil {
		p.t.Fatalf("%s: %s: %v", p.name, what, err)
	}
}

// open navigates to a path of the page.
func (p *person) open(path string) {
	p.t.Helper()
	p.do("open "+path, chromedp.Navigate(p.w.proxy.url()+path))
}

// find returns the selector of a control.
func find(testid string, more ...string) string {
	return fmt.Sprintf(`[data-testid="%s"]%s`, testid, strings.Join(more, ""))
}

// click waits for the first control that the selector matches to be shown and to stop moving, and
// clicks it.
func (p *person) click(selector string) {
	p.t.Helper()
	p.still(selector)
	p.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// fill focuses a field and types the text at its end.
func (p *person) fill(selector, text string) {
	p.t.Helper()
	p.await(selector)
	p.do("focus "+selector, chromedp.Focus(chromedp.CSS(selector)))
	p.press(text)
}

// press presses keys in the focused element: characters, and the keys that kb names.
func (p *person) press(keys string, modifiers ...input.DispatchKeyEventParams) {
	p.t.Helper()
	for _, r := range keys {
		event := keyOf(r)
		for _, m := range modifiers {
			event.Modifiers |= m.Modifiers
		}
		if event.Modifiers&^int64(chromedp.ModifierShift) != 0 {
			event.Text = "" // a shortcut inserts no text
		}
		command(p, input.DispatchKeyEvent, event)
		event.Type, event.Text = input.DispatchKeyEventTypeKeyUp, ""
		command(p, input.DispatchKeyEvent, event)
	}
}

// keyOf returns the key-down event for a key. As on a real keyboard, it carries the character,
// which is not inserted if the page handles the key.
func keyOf(r rune) input.DispatchKeyEventParams {
	event := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: string(r), Text: string(r)}
	k, known := kb.Keys[r]
	if !known {
		return event
	}
	event.Key, event.Code, event.Text = k.Key, k.Code, k.Text
	event.WindowsVirtualKeyCode, event.NativeVirtualKeyCode = k.Windows, k.Native
	if k.Shift {
		event.Modifiers |= int64(chromedp.ModifierShift)
	}
	return event
}

// await waits until the selector matches a visible element.
func (p *person) await(selector string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`(() => { const e = document.querySelector(%s); return e !== null && e.getClientRects().length > 0 })()`, quote(selector)))
}

// gone waits until the selector matches nothing.
func (p *person) gone(selector string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector(%s) === null`, quote(selector)))
}

// until waits until the script evaluates to true.
func (p *person) until(script string) {
	p.t.Helper()
	testkit.Until(p.t, testkit.Timeout, func() error {
		is, err := try(p, chromedp.Evaluate[bool](script))
		if err != nil {
			return err
		}
		if !is {
			return fmt.Errorf("%s: not true: %s", p.name, script)
		}
		return nil
	})
}

// value returns the value of a script, awaiting a promise.
func value[T any](p *person, script string) T {
	p.t.Helper()
	v, err := try(p, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %s: %v", p.name, script, err)
	}
	return v
}

// quote returns a text, or a list of texts, as a JavaScript literal.
func quote[T string | []string](text T) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(b)
}

// resize sets the size of the window.
func (p *person) resize(width, height int64) {
	p.t.Helper()
	command(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 500})
}

// scheme sets the system's color scheme to light or dark.
func (p *person) scheme(name string) {
	p.t.Helper()
	p.colors = name
	p.emulate()
	p.painted()
}

// reduceMotion sets the system's preference for reduced motion.
func (p *person) reduceMotion() {
	p.t.Helper()
	p.variant.reducedMotion = true
	p.emulate()
}

// emulate passes the system's settings to the browser.
func (p *person) emulate() {
	p.t.Helper()
	motion := "no-preference"
	if p.variant.reducedMotion {
		motion = "reduce"
	}
	command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: p.colors}, {Name: "prefers-reduced-motion", Value: motion},
	}})
}

// hover moves the mouse over an element, once the element has stopped moving. It points at the left
// part, because the toolbar of the message below may cover the right half in a narrow window.
func (p *person) hover(selector string) {
	p.t.Helper()
	at := p.still(selector)
	p.do("point at "+selector, chromedp.MouseEvent(chromedp.MouseMoved, at[0], at[1]))
}

// still waits until an element is shown and has stopped moving, and returns a point in its left
// part. Frames may not be drawn in a tab in the background.
func (p *person) still(selector string) (point []float64) {
	p.t.Helper()
	p.await(selector)
	return value[[]float64](p, fmt.Sprintf(`(async () => {
		for (let last = "";;) {
			const e = document.querySelector(%s);
			e?.scrollIntoView({ block: "nearest" });
			await new Promise(done => { setTimeout(done, 100); requestAnimationFrame(() => requestAnimationFrame(done)) });
			const r = e?.isConnected ? e.getBoundingClientRect() : undefined;
			const now = r && [r.x + r.width / 4, r.y + r.height / 2];
			if (now && String(now) === last) return now;
			last = String(now);
		} })()`, quote(selector)))
}

// painted waits until the window has painted the document.
func (p *person) painted() {
	p.t.Helper()
	value[any](p, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(null), 50))))`)
}
