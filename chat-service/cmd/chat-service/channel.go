package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/uptrace/bun"

	chatservice "parley.chat/chat-service"
	"parley.chat/chat-service/internal/channel"
	"parley.chat/internal/platform/names"
	"parley.chat/shared-contracts/chat"
)

const channelUsage = `  chat-service channel list --archived                     list the channels that no longer have members
  chat-service channel restore ID --owner USERNAME [--name NAME]
                                      give an archived channel an owner, and a new name if its old name is taken
`

// channelCommand runs a command on archived channels. The command may run while instances of
// chat-service are running.
func channelCommand(ctx context.Context, stdout io.Writer, args []string, cfg chatservice.Config) error {
	run, err := parseChannel(args)
	if err != nil {
		return err
	}
	return withDatabase(ctx, cfg, "chat-service channel", func(ctx context.Context, db *bun.DB) error {
		if !run.list {
			return channel.Restore(ctx, db, run.id, run.owner, run.name)
		}
		found, err := channel.ListArchived(ctx, db)
		if err != nil {
			return err
		}
		tw := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
		for _, c := range found {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", c.ID, c.ArchivedAt.UTC().Format(time.RFC3339), c.Kind, c.Name)
		}
		return tw.Flush()
	})
}

// channelRun holds the parsed arguments.
type channelRun struct {
	list        bool
	id          chat.ChannelID
	owner, name string
}

func parseChannel(args []string) (run channelRun, err error) {
	help := errors.New("channel: expected list --archived or restore ID --owner USERNAME [--name NAME], see --help")
	if len(args) == 2 && args[0] == "list" && args[1] == "--archived" {
		return channelRun{list: true}, nil
	}
	if len(args) < 2 || args[0] != "restore" {
		return run, help
	}
	if run.id, err = chat.ParseChannelID(args[1]); err != nil {
		return run, fmt.Errorf("channel restore: %w", err)
	}
	flags := flag.NewFlagSet("channel restore", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&run.owner, "owner", "", "")
	flags.StringVar(&run.name, "name", "", "")
	if err := flags.Parse(args[2:]); err != nil {
		return run, fmt.Errorf("channel restore: %w", err)
	}
	if run.owner == "" || flags.NArg() > 0 {
		return run, help
	}
	if run.name != "" {
		if run.name, err = names.Clean(run.name); err != nil {
			return run, fmt.Errorf("--name: %w", err)
		}
		if err := chat.CheckLine(run.name, chat.MaxChannelNameChars); err != nil {
			return run, fmt.Errorf("--name: %w", err)
		}
	}
	return run, nil
}
