package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	syncservice "parley.chat/sync-service"
)

// withTools runs f with the clients open.
func (e *env) withTools(f func(*syncservice.Tools) error) (err error) {
	t, err := syncservice.OpenTools(e.ctx, e.cfg)
	if err != nil {
		return err
	}
	defer func() {
		if closing := t.Close(); err == nil {
			err = closing
		}
	}()
	return f(t)
}

// print writes v as JSON, or what table writes.
func (o output) print(w io.Writer, v any, table func(*tabwriter.Writer)) error {
	if o.Output == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	table(tw)
	return tw.Flush()
}

// bar shows how far something long has come, on a terminal and nowhere else.
type bar struct {
	w     io.Writer
	began time.Time
	last  time.Time
	shown bool
}

// newBar returns a bar on w, which shows nothing if w is no terminal.
func newBar(w io.Writer) *bar {
	file, ok := w.(*os.File)
	if ok {
		info, err := file.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if !ok {
		return &bar{}
	}
	return &bar{w: w, began: time.Now()}
}

// set shows what is done: a number of things, of which the share (0 to 1) is behind it.
func (b *bar) set(what string, n int64, done float64) {
	if b.w == nil || time.Since(b.last) < 200*time.Millisecond {
		return
	}
	b.last, b.shown = time.Now(), true
	fmt.Fprintf(b.w, "\r\x1b[K%s", barLine(what, n, done, time.Since(b.began)))
}

func barLine(what string, n int64, done float64, took time.Duration) string {
	const width = 30
	done = min(max(done, 0), 1)
	full := int(done * width)
	line := "["
	for i := range width {
		if i < full {
			line += "="
		} else {
			line += " "
		}
	}
	line += fmt.Sprintf("] %3.0f%% %s", 100*done, what)
	if n > 0 && took > 0 {
		line += fmt.Sprintf(" %d, %.0f/s", n, float64(n)/took.Seconds())
	}
	if done > 0.01 && done < 1 {
		line += fmt.Sprintf(", %v left", time.Duration(float64(took)*(1-done)/done).Round(time.Second))
	}
	return line
}

// end takes the bar away.
func (b *bar) end() {
	if b.shown {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}
