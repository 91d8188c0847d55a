package browser_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// axe returns the source of the accessibility checker axe-core, which is installed with the page's
// packages.
func axe(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root(t), "web-client", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("axe-core is not installed (make web): %v", err)
	}
	return string(source)
}

// violation is a rule that the page breaks, with the elements concerned.
type violation struct {
	ID    string
	Help  string
	Nodes []struct {
		HTML           string
		FailureSummary string `json:"failureSummary"`
	}
}

// accessible checks the current screen against all rules of axe, in light and dark.
func (p *person) accessible(screen string) {
	p.t.Helper()
	source := axe(p.t)
	for _, scheme := range []string{"light", "dark"} {
		p.scheme(scheme)
		if !value[bool](p, `typeof axe === "object"`) {
			value[any](p, source+"; null")
		}
		const run = `axe.run().then(r => r.violations)`
		found := value[[]violation](p, run)
		if len(found) > 0 { // the first run may coincide with a color transition, so only violations that remain count
			p.painted()
			found = value[[]violation](p, run)
		}
		for _, v := range found {
			where := []string{fmt.Sprintf("%d elements:", len(v.Nodes))}
			for _, n := range v.Nodes[:min(len(v.Nodes), 3)] {
				where = append(where, n.HTML+"\n\t\t"+strings.ReplaceAll(n.FailureSummary, "\n", " "))
			}
			p.t.Errorf("%s, %s: %s: %s\n\t%s", screen, scheme, v.ID, v.Help, strings.Join(where, "\n\t"))
		}
	}
	p.scheme("light")
}

// fitsWidth checks that neither the page nor a dialog, a menu or a pane is wider than its box.
func (p *person) fitsWidth(screen string) {
	p.t.Helper()
	for _, over := range value[[]string](p, `
		[document.documentElement, ...document.querySelectorAll('dialog, dialog .dialog-frame, [popover], [data-testid="sidebar"], [data-testid="members"], [data-testid="message-list"]')]
			.filter(e => e.scrollWidth > e.clientWidth && e.getClientRects().length > 0)
			.map(e => (e.scrollWidth - e.clientWidth) + " px: " + e.tagName.toLowerCase() + "." + e.className)`) {
		p.t.Errorf("%s does not fit: %s", screen, over)
	}
}

// fitsLargeText checks that the page does not scroll horizontally with text of twice the size. The
// page keeps that size until it is loaded again. In a variant with large text, fitsWidth checks
// the same.
func (p *person) fitsLargeText(screen string) {
	p.t.Helper()
	if p.variant.textSize != 0 {
		return
	}
	const enlarge = `(() => {
		const sizes = [...document.querySelectorAll("body *")].map(e => [e, parseFloat(getComputedStyle(e).fontSize)]);
		sizes.forEach(([e, size]) => { e.style.fontSize = 2 * size + "px" });
		return document.documentElement.scrollWidth - document.documentElement.clientWidth })()`
	if over := value[int](p, enlarge); over > 0 {
		p.t.Errorf("with text of twice the size, %s is %d px wider than the window", screen, over)
	}
}

// screenshot writes a screenshot of the window into screenshots/.
func (p *person) screenshot(name string) {
	p.painted()
	p.capture(name)
}

// capture writes a screenshot of a window that has been painted.
func (p *person) capture(name string) {
	yes := true
	png, err := try(p, func(ctx context.Context, tab *chromedp.Target) ([]byte, error) {
		got, err := cdp.Call(ctx, tab, page.CaptureScreenshot, page.CaptureScreenshotParams{FromSurface: &yes, OptimizeForSpeed: &yes})
		return got.Data, err
	})
	if err == nil {
		err = os.MkdirAll("screenshots", 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join("screenshots", name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Logf("no screenshot of %s: %v", name, err)
	}
}
