// Command echo-bot repeats messages. In a direct channel, it answers every message. In other
// channels, it answers messages that begin with !echo or mention it with @.
//
// It is an example of how to use the SDK. The bot signs up on first use, follows new channels
// automatically, and answers each message once. It marks answered messages as read. It derives the
// answer's client id from the message's id, so a repeated answer is posted only once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the next signal ends the process
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "echo-bot:", err)
		os.Exit(1)
	}
}

// run runs the program.
func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
	flags := flag.NewFlagSet("echo-bot", flag.ContinueOnError)
	flags.SetOutput(stderr)
	server := flags.String("url", "http://localhost:8080", "the server")
	name := flags.String("as", "echo", "its username")
	join := flags.String("join", "", "id of a channel to join")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	password := getenv("ECHO_PASSWORD")
	if password == "" {
		return errors.New("set ECHO_PASSWORD to the bot's password")
	}
	session, err := client.LogIn(ctx, *server, *name, password)
	if apierr.CodeOf(err) == apierr.InvalidCredentials {
		session, err = client.SignUp(ctx, *server, *name, *name+"@bots.example", password)
	}
	if err != nil {
		return err
	}
	c, err := client.New(client.Config{URL: *server, Tokens: session})
	if err != nil {
		return err
	}
	if *join != "" {
		id, err := chat.ParseChannelID(*join)
		if err == nil {
			_, err = c.API().JoinChannel(ctx, id)
		}
		if err != nil {
			return fmt.Errorf("join %s: %w", *join, err)
		}
	}
	return (&bot{c: c, name: *name, log: stderr, direct: map[chat.ChannelID]bool{}}).run(ctx)
}

type bot struct {
	c      *client.Client
	name   string
	log    io.Writer
	direct map[chat.ChannelID]bool // which channels are direct
}

func (b *bot) run(ctx context.Context) error {
	var wg sync.WaitGroup
	ended := make(chan error, 1)
	wg.Go(func() { ended <- b.c.Run(ctx) })
	for e := range b.c.Events() { // closed when Run returns
		switch e := e.(type) {
		case client.Joined:
			b.direct[e.Channel.ChannelID] = e.Channel.Kind == chat.Direct
			b.answerUnread(ctx, e)
		case client.Connection:
			fmt.Fprintln(b.log, e.State, errText(e.Err))
		case client.Status:
			if e.State == client.Failed {
				fmt.Fprintln(b.log, "not sent:", e.Err)
			}
		case client.ChannelEvent:
			if e.Type == event.Message && !e.Mine {
				b.answer(client.Message{ID: e.ID, ChannelID: e.ChannelID, Seq: e.Seq, SenderID: e.SenderID, Body: e.Body, Mentions: e.Mentions})
			}
		}
	}
	wg.Wait()
	return <-ended
}

// answerUnread answers messages that arrived while the bot was offline. It covers only the unread
// messages in the newest page of the channel's history.
func (b *bot) answerUnread(ctx context.Context, e client.Joined) {
	if e.Channel.Unread == 0 {
		return
	}
	page, err := b.c.API().Newest(ctx, e.Channel.ChannelID, client.PageSize)
	if err != nil {
		fmt.Fprintln(b.log, "read missed messages:", err)
		return
	}
	page = slices.DeleteFunc(page, func(m client.Message) bool {
		// Newer messages arrive as events.
		return m.SenderID == b.c.Me() || !m.DeletedAt.IsZero() || m.Seq <= e.Channel.LastReadSeq || m.Seq > e.From.Seq
	})
	for _, m := range page[max(0, len(page)-e.Channel.Unread):] {
		b.answer(m)
	}
}

// answer repeats a message if it is meant for the bot. It must not block, because it runs in the
// goroutine that receives events.
func (b *bot) answer(e client.Message) {
	b.c.Read(e.ChannelID, e.Seq)
	text, asked := strings.CutPrefix(e.Body, "!echo ")
	named := slices.Contains(e.Mentions, b.c.Me())
	if !asked && !named && !b.direct[e.ChannelID] {
		return
	}
	text = strings.TrimSpace(strings.ReplaceAll(text, "@"+b.name, ""))
	if text == "" {
		text = "?"
	}
	err := b.c.PostDraft(client.Draft{
		To: client.ToChannel(e.ChannelID), Body: text, ReplyTo: e.ID, ClientID: chat.ClientID{UUID: e.ID.UUID},
	})
	if err != nil {
		fmt.Fprintln(b.log, "not sent:", err)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
