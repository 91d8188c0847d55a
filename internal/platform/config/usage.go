package config

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Usage writes the --help text of a program whose settings are the structs in cfg, with one line
// per variable. A variable that occurs in several of the structs is listed once.
func Usage(w io.Writer, program string, cfg ...any) {
	fmt.Fprintf(w, "Usage: %s\n\nSettings are environment variables:\n\n", program)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	seen := map[string]bool{}
	for _, c := range cfg {
		for _, v := range Vars(c) {
			if seen[v.Name] {
				continue
			}
			seen[v.Name] = true
			desc := v.Desc
			if v.Default != "" {
				desc += " (default " + v.Default + ")"
			}
			fmt.Fprintf(tw, "  %s\t%s\t%s\n", v.Name, v.Type, desc)
		}
	}
	_ = tw.Flush() // nothing can be done about a failed write to the terminal
}
