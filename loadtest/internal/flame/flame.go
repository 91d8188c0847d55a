// Package flame draws a CPU profile as a flame graph: an SVG without a script. A box is a function.
// Its width is the share of the time spent in the function and its callees, and the boxes above it
// are its callees. Boxes with the same name at the same place are merged. The tooltip of a box
// shows its full name.
package flame

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// The dimensions of a picture, in pixels.
const (
	width   = 1200
	row     = 17
	margin  = 8
	head    = 44
	letter  = 6.2 // approximate width of a character
	least   = 0.9 // narrower boxes are omitted
	charsIn = 3   // shorter labels are omitted
)

// node is a function at one place of the stack.
type node struct {
	name  string
	value int64
	calls map[string]*node
}

func (n *node) call(name string) *node {
	c := n.calls[name]
	if c == nil {
		c = &node{name: name, calls: map[string]*node{}}
		n.calls[name] = c
	}
	return c
}

func (n *node) depth() (d int) {
	for _, c := range n.calls {
		d = max(d, c.depth())
	}
	return d + 1
}

// Draw draws a profile in the format of pprof.
func Draw(raw []byte, title string) ([]byte, error) {
	p, err := profile.ParseData(raw)
	if err != nil {
		return nil, fmt.Errorf("read a profile: %w", err)
	}
	root := &node{name: "all", calls: map[string]*node{}}
	for _, s := range p.Sample {
		v := s.Value[len(s.Value)-1] // the CPU time, in a CPU profile
		root.value += v
		at := root
		for _, loc := range slices.Backward(s.Location) {
			for _, line := range slices.Backward(loc.Line) { // inlined calls, the innermost first
				at = at.call(line.Function.Name)
				at.value += v
			}
		}
	}
	if root.value == 0 {
		return nil, errors.New("draw a profile: it has no samples")
	}
	return picture(root, title, float64(root.value)/1e9), nil
}

func picture(root *node, title string, seconds float64) []byte {
	var b bytes.Buffer
	height := head + root.depth()*row + margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="11">
<style>text { fill: #111 } .t { fill: #222; font-size: 13px } rect { stroke: #fff; stroke-width: .5 } @media (prefers-color-scheme: dark) { .t { fill: #ddd } rect { stroke: #111 } }</style>
<text class="t" x="%d" y="18">%s</text>
<text class="t" x="%d" y="36">%.1f s of CPU. Orange: Parley; blue: system calls; grey: the Go runtime; yellow: other packages.</text>
`, width, height, margin, html.EscapeString(title), margin, seconds)
	scale := float64(width-2*margin) / float64(root.value)
	var draw func(n *node, x float64, level int)
	draw = func(n *node, x float64, level int) {
		w := float64(n.value) * scale
		if w < least {
			return
		}
		y := height - margin - (level+1)*row
		fmt.Fprintf(&b, `<g><title>%s: %.2f s, %.1f%%</title><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`,
			html.EscapeString(n.name), float64(n.value)/1e9, 100*float64(n.value)/float64(root.value), x, y, w, row, colour(n.name))
		if chars := int((w - 4) / letter); chars >= charsIn {
			fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`, x+2, y+12, html.EscapeString(shortened(n.name, chars)))
		}
		b.WriteString("</g>\n")
		for _, c := range sorted(n.calls) {
			draw(c, x, level+1)
			x += float64(c.value) * scale
		}
	}
	draw(root, margin, 0)
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// sorted returns calls ordered by name, so that a profile always looks the same.
func sorted(calls map[string]*node) []*node {
	list := make([]*node, 0, len(calls))
	for _, c := range calls {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	return list
}

// shortened returns a function's name without the path of its package, truncated to the given
// number of characters.
func shortened(name string, chars int) string {
	name = name[strings.LastIndexByte(name, '/')+1:]
	if len(name) > chars {
		name = name[:max(chars-1, 1)] + "…"
	}
	return name
}

func colour(name string) string {
	switch {
	case strings.HasPrefix(name, "parley.chat/"):
		return "#f5a25d"
	case strings.HasPrefix(name, "syscall."), strings.HasPrefix(name, "internal/runtime/syscall"), strings.HasPrefix(name, "golang.org/x/sys/"):
		return "#8ab6e8"
	case strings.HasPrefix(name, "runtime."), strings.HasPrefix(name, "internal/runtime/"), strings.HasPrefix(name, "runtime/"), name == "all":
		return "#c9c9c9"
	}
	return "#f2d479"
}
