package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
)

const keysUsage = `
Commands:
  chat-service keys list     list the keys in JWT_KEYS_DIR and their states
  chat-service keys rotate   add a key; it signs once all instances know it, and the old key still verifies
  chat-service keys prune    delete the keys whose tokens have all expired
`

// keys runs a command that lists or changes the signing keys in dir. Running instances notice the
// change without a restart.
func keys(stdout io.Writer, args []string, dir string, ttl time.Duration) error {
	if len(args) != 1 {
		return fmt.Errorf("keys: expected list, rotate or prune, see --help")
	}
	switch args[0] {
	case "list":
		return listKeys(stdout, dir, ttl)
	case "rotate":
		key, err := token.Rotate(dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s will start signing in %s\n", key.ID, apierr.Duration(token.Settle))
		return nil
	case "prune":
		gone, err := token.Prune(dir, ttl)
		for _, id := range gone {
			fmt.Fprintln(stdout, "deleted", id)
		}
		return err
	}
	return fmt.Errorf("keys: unknown command %q, expected list, rotate or prune", args[0])
}

func listKeys(stdout io.Writer, dir string, ttl time.Duration) error {
	list, err := token.List(dir, ttl)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tSTATE\tUNTIL")
	for _, k := range list {
		until := "-"
		if !k.Until.IsZero() {
			until = k.Until.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", k.ID, k.State, until)
	}
	return w.Flush()
}
