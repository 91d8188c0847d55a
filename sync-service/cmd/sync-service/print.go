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

// withTools opens the clients, runs f and closes them.
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

// print writes v as JSON or as a table, depending on the output flag.
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

// progressBar shows the progress of a long operation. It prints only to a terminal.
type progressBar struct {
	w     io.Writer
	began time.Time
	last  time.Time
	shown bool
}

// newProgressBar returns a progress bar on w. The bar prints nothing if w is not a terminal.
func newProgressBar(w io.Writer) *progressBar {
	file, ok := w.(*os.File)
	if ok {
		info, err := file.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if !ok {
		return &progressBar{}
	}
	return &progressBar{w: w, began: time.Now()}
}

// set updates the bar. n is the number of finished items, and done is the finished fraction (0 to
// 1).
func (b *progressBar) set(what string, n int64, done float64) {
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

// end erases the bar.
func (b *progressBar) end() {
	if b.shown {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}
