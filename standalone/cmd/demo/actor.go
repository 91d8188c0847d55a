package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"parley.chat/client"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// waitTimeout limits each wait.
const waitTimeout = 30 * time.Second

// line is a message with its seq.
type line struct {
	seq  int64
	body string
}

// actor is one of the demo's two users. It is connected through the SDK and checks the SDK's
// guarantees.
type actor struct {
	base, name string
	client     *client.Client

	stop   context.CancelFunc
	ended  chan error // result of the client's Run
	limits frame.Limits
	seen   int64  // seq of the newest event
	heard  []line // received messages, in order of arrival
	hole   error  // error for the first missing or repeated seq, or nil
	sends  []time.Time
}

func newActor(base, name string) *actor { return &actor{base: base, name: name} }

// signUp creates the account.
func (a *actor) signUp(ctx context.Context) error {
	session, err := client.SignUp(ctx, a.base, a.name, a.name+"@example.com", rand.Text())
	if err == nil {
		a.client, err = client.New(client.Config{URL: a.base, Tokens: session})
	}
	if err != nil {
		return fmt.Errorf("sign up %s: %w", a.name, err)
	}
	return nil
}

func (a *actor) createChannel(ctx context.Context, name string) (chat.ChannelID, error) {
	created, err := a.client.API().CreateChannel(ctx, name, chat.Unlisted)
	return created.ID, err
}

func (a *actor) join(ctx context.Context, channel chat.ChannelID) error {
	_, err := a.client.API().JoinChannel(ctx, channel)
	return err
}

// history reads all messages in the channel through the REST API, page by page.
func (a *actor) history(ctx context.Context, channel chat.ChannelID) ([]line, error) {
	var all []line
	for after := int64(0); ; after = all[len(all)-1].seq {
		page, err := a.client.API().After(ctx, channel, after, client.PageSize)
		if err != nil {
			return nil, fmt.Errorf("read the history: %w", err)
		}
		if len(page) == 0 {
			return all, nil
		}
		for _, m := range page {
			all = append(all, line{m.Seq, m.Body})
		}
	}
}

// connect starts the client and waits until it follows the channel. Call disconnect to stop the
// client.
func (a *actor) connect(ctx context.Context, channel chat.ChannelID) error {
	var running context.Context
	running, a.stop = context.WithCancel(ctx)
	a.ended = make(chan error, 1)
	go func() { a.ended <- a.client.Run(running) }()
	timeout := time.After(waitTimeout)
	for {
		select {
		case e, ok := <-a.client.Events():
			if !ok {
				return fmt.Errorf("connect %s: %w", a.name, a.lost(ctx))
			}
			if joined, ok := e.(client.Joined); ok && joined.Channel.ChannelID == channel {
				a.seen, a.limits = joined.From.Seq, a.client.Limits()
				return nil
			}
		case <-timeout:
			return fmt.Errorf("connect %s: channel %s is not followed after %v", a.name, channel, waitTimeout)
		}
	}
}

// lost waits until the client has ended and returns the reason.
func (a *actor) lost(ctx context.Context) error {
	err := <-a.ended
	a.ended <- err // for disconnect
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = errors.New("the connection has ended")
	}
	return err
}

// disconnect stops the client and waits until it has ended.
func (a *actor) disconnect() {
	if a.stop == nil {
		return
	}
	a.stop()
	for range a.client.Events() { // closed when Run returns
		continue
	}
	<-a.ended
}

// note checks the seq of an event in the channel, and records the event if it is a message.
func (a *actor) note(e client.ChannelEvent) {
	if e.Seq != a.seen+1 && a.hole == nil {
		a.hole = fmt.Errorf("%s got seq %d after %d", a.name, e.Seq, a.seen)
	}
	a.seen = e.Seq
	if e.Type == event.Message {
		a.heard = append(a.heard, line{e.Seq, e.Body})
	}
}
