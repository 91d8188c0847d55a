package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/uptrace/bun"

	chatservice "parley.chat/chat-service"
	"parley.chat/chat-service/internal/account"
)

const userUsage = `  chat-service user suspend NAME [--reason TEXT]   end all sessions of a user and refuse their logins
  chat-service user restore NAME                   let a suspended user log in again
  chat-service user list                           list the suspended users with dates and reasons
`

var errUserUsage = errors.New("user: expected list, suspend NAME [--reason TEXT] or restore NAME, see --help")

// user runs a command that suspends or restores accounts. It needs only PostgreSQL, which also
// notifies the running instances.
func user(ctx context.Context, stdout io.Writer, args []string, cfg chatservice.Config) error {
	command, err := userCommand(args)
	if err != nil {
		return err
	}
	return withDatabase(ctx, cfg, "chat-service user", func(ctx context.Context, db *bun.DB) error {
		return command(ctx, db, stdout)
	})
}

// userCommand parses the arguments and returns the command to run. It is called before connecting
// to PostgreSQL, so that wrong arguments are reported even if PostgreSQL is down.
func userCommand(args []string) (func(ctx context.Context, db *bun.DB, stdout io.Writer) error, error) {
	switch {
	case len(args) == 1 && args[0] == "list":
		return listSuspensions, nil
	case len(args) == 2 && args[0] == "restore":
		return func(ctx context.Context, db *bun.DB, _ io.Writer) error { return account.Restore(ctx, db, args[1]) }, nil
	case len(args) >= 2 && args[0] == "suspend":
		reason, err := reasonOf(args[2:])
		return func(ctx context.Context, db *bun.DB, stdout io.Writer) error {
			ended, err := account.Suspend(ctx, db, args[1], reason)
			if err == nil {
				fmt.Fprintf(stdout, "%s is suspended, %d sessions ended\n", args[1], ended)
			}
			return err
		}, err
	}
	return nil, errUserUsage
}

func reasonOf(args []string) (string, error) {
	switch {
	case len(args) == 0:
		return "", nil
	case len(args) == 2 && args[0] == "--reason":
		return args[1], nil
	case len(args) == 1:
		if reason, ok := strings.CutPrefix(args[0], "--reason="); ok {
			return reason, nil
		}
	}
	return "", errUserUsage
}

func listSuspensions(ctx context.Context, db *bun.DB, stdout io.Writer) error {
	list, err := account.Suspensions(ctx, db)
	if err != nil || len(list) == 0 {
		return err
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tSINCE\tREASON")
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%s\t%q\n", s.Username, s.Since.UTC().Format(time.RFC3339), s.Reason)
	}
	return w.Flush()
}
