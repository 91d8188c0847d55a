// Package plot draws line charts as SVG. The pictures are small, contain no script, and are
// readable on light and dark backgrounds.
package plot

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// Line is a series of points, ordered by x.
type Line struct {
	Name   string
	X, Y   []float64
	Dashed bool
	Color  int // related lines, such as two quantiles of the same metric, have the same color
}

// Chart is a set of lines with the same axes.
type Chart struct {
	Title  string
	X, Y   string // labels of the axes
	LogX   bool   // logarithmic scale, with marks at the x values of the first line
	LogY   bool   // logarithmic, marked at powers of ten
	Lines  []Line
	Notes  []string // below the title
	ZeroAt bool     // the y axis begins at 0; ignored if LogY is set
}

// The dimensions of a chart, in pixels.
const (
	width, height = 720, 400
	left, right   = 64, 190 // the legend is on the right
	top, bottom   = 40, 48
	noteHeight    = 16
)

// colors can be distinguished on light and dark backgrounds, and by people who cannot tell red
// from green.
var colors = []string{"#3b82d6", "#e07b1f", "#8a5cc7", "#159b78"}

// axis maps values to pixels.
type axis struct {
	from, to   float64 // values
	begin, end float64 // pixels
	log        bool
}

func (a axis) at(v float64) float64 {
	from, to := a.from, a.to
	if a.log {
		v, from, to = math.Log(v), math.Log(from), math.Log(to)
	}
	return a.begin + (v-from)/(to-from)*(a.end-a.begin)
}

// SVG draws the charts, one below the other.
func SVG(charts ...Chart) []byte {
	var b bytes.Buffer
	total := 0
	for _, c := range charts {
		total += c.height()
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">
<style>text { fill: #333 } .h { font-size: 14px; font-weight: 600 } .g { stroke: #999; stroke-opacity: .3 } .a { stroke: #777 } path { fill: none; stroke-width: 2 } @media (prefers-color-scheme: dark) { text { fill: #ddd } }</style>
`, width, total)
	y := 0
	for _, c := range charts {
		fmt.Fprintf(&b, "<g transform=\"translate(0 %d)\">\n", y)
		c.draw(&b)
		b.WriteString("</g>\n")
		y += c.height()
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (c *Chart) height() int { return height + noteHeight*len(c.Notes) }

func (c *Chart) draw(b *bytes.Buffer) {
	head := top + noteHeight*len(c.Notes)
	fmt.Fprintf(b, `<text class="h" x="%d" y="20">%s</text>`+"\n", left, html.EscapeString(c.Title))
	for i, note := range c.Notes {
		fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", left, 22+noteHeight*(i+1), html.EscapeString(note))
	}
	x, y, ok := c.axes(float64(head), float64(c.height()-bottom))
	if !ok {
		fmt.Fprintf(b, `<text x="%d" y="%d">nothing was measured</text>`+"\n", left, head+20)
		return
	}
	c.grid(b, x, y)
	for i, l := range c.Lines {
		c.line(b, l, x, y, head+14+i*18)
	}
}

// axes returns axes whose ranges fit the lines. ok is false if there is nothing to draw.
func (c *Chart) axes(head, foot float64) (x, y axis, ok bool) {
	x = axis{from: math.Inf(1), to: math.Inf(-1), begin: left, end: width - right, log: c.LogX}
	y = axis{from: math.Inf(1), to: math.Inf(-1), begin: foot, end: head, log: c.LogY}
	for _, l := range c.Lines {
		for i := range l.X {
			x.from, x.to = min(x.from, l.X[i]), max(x.to, l.X[i])
			if !c.LogY || l.Y[i] > 0 {
				y.from, y.to = min(y.from, l.Y[i]), max(y.to, l.Y[i])
			}
		}
	}
	switch {
	case x.from > x.to || y.from > y.to:
		return x, y, false
	case c.LogY:
		y.from, y.to = math.Pow(10, math.Floor(math.Log10(y.from))), math.Pow(10, math.Ceil(math.Log10(y.to)))
	case c.ZeroAt:
		y.from = 0
	}
	for _, a := range []*axis{&x, &y} {
		if a.from == a.to { // only one value
			a.from, a.to = a.from/2, a.to*2+1
		}
	}
	if !c.LogY {
		y.to += (y.to - y.from) * .05
	}
	return x, y, true
}

func (c *Chart) grid(b *bytes.Buffer, x, y axis) {
	for _, v := range y.marks() {
		fmt.Fprintf(b, `<line class="g" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, x.begin, x.end, y.at(v), y.at(v))
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="end">%s</text>`+"\n", x.begin-6, y.at(v)+4, Short(v))
	}
	marks := x.marks()
	if c.LogX {
		marks = c.Lines[0].X // mark the x values at which measurements were made
	}
	for _, v := range marks {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", x.at(v), y.begin+16, Short(v))
	}
	fmt.Fprintf(b, `<line class="a" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n", x.begin, x.end, y.begin, y.begin)
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", (x.begin+x.end)/2, y.begin+36, html.EscapeString(c.X))
	fmt.Fprintf(b, `<text transform="translate(16 %.1f) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (y.begin+y.end)/2, html.EscapeString(c.Y))
}

// marks returns the round values at which to draw marks on an axis.
func (a axis) marks() (list []float64) {
	if a.log {
		for v := a.from; v <= a.to*1.0001; v *= 10 {
			list = append(list, v)
		}
		return list
	}
	step := math.Pow(10, math.Floor(math.Log10((a.to-a.from)/2)))
	for (a.to-a.from)/step > 8 {
		step *= 2
	}
	for v := math.Ceil(a.from/step) * step; v <= a.to; v += step {
		list = append(list, v)
	}
	return list
}

func (c *Chart) line(b *bytes.Buffer, l Line, x, y axis, legend int) {
	var path strings.Builder
	for i := range l.X {
		if c.LogY && l.Y[i] <= 0 {
			continue
		}
		verb := "L"
		if path.Len() == 0 {
			verb = "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", verb, x.at(l.X[i]), y.at(l.Y[i]))
	}
	color, dash := colors[l.Color%len(colors)], ""
	if l.Dashed {
		dash = ` stroke-dasharray="6 4"`
	}
	fmt.Fprintf(b, `<path d="%s" stroke="%s"%s/>`, path.String(), color, dash)
	for i := range l.X {
		if !c.LogY || l.Y[i] > 0 {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s</title></circle>`, x.at(l.X[i]), y.at(l.Y[i]), color,
				html.EscapeString(fmt.Sprintf("%s: %s at %s", l.Name, Short(l.Y[i]), Short(l.X[i]))))
		}
	}
	fmt.Fprintf(b, `<path d="M%d %dh24" stroke="%s"%s/><text x="%d" y="%d">%s</text>`+"\n",
		width-right+14, legend-4, color, dash, width-right+44, legend, html.EscapeString(l.Name))
}

// Short formats a number in human-readable form, for example 1200000 as 1.2 M.
func Short(v float64) string {
	for _, unit := range []struct {
		of   float64
		name string
	}{{1e9, " bn"}, {1e6, " M"}, {1e3, " k"}} {
		if math.Abs(v) >= unit.of {
			return strconv.FormatFloat(math.Round(v/unit.of*100)/100, 'f', -1, 64) + unit.name
		}
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
