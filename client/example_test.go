package client_test

import (
	"context"
	"fmt"

	"parley.chat/client"
	"parley.chat/client/internal/gatewaytest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// This program answers messages. Post does not block, so it may be called from the goroutine that
// receives events.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	session, err := client.LogIn(ctx, "https://chat.example", "parrot", "correct horse battery")
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := client.New(client.Config{URL: "https://chat.example", Tokens: session})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for e := range c.Events() {
		if said, ok := e.(client.ChannelEvent); ok && said.Type == event.Message && !said.Mine {
			_, _ = c.Post(client.ToChannel(said.ChannelID), said.Body)
			c.Read(said.ChannelID, said.Seq)
		}
	}
	fmt.Println(<-ended)
}

// Send returns when the message is durable, no matter how many connections that takes.
func ExampleClient_Send() {
	channel := chat.NewChannelID()
	g := gatewaytest.Start(channel)
	defer g.Close()
	c, err := client.New(client.Config{URL: g.URL, Tokens: client.StaticToken("a token")})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	go func() {
		for range c.Events() { // the events must always be received
			continue
		}
	}()
	ack, err := c.Send(ctx, client.ToChannel(channel), "hello")
	fmt.Println(ack.Seq, err)
	stop()
	fmt.Println(<-ended)
	// Output:
	// 1 <nil>
	// <nil>
}

// A program can store its position in each channel between runs.
func ExampleChannelEvent_Position() {
	kept := map[chat.ChannelID]client.Position{}
	take := func(e client.Event) {
		switch e := e.(type) {
		case client.ChannelEvent:
			kept[e.ChannelID] = e.Position()
		case client.Reset: // read the newest page of the history before storing the position
			kept[e.ChannelID] = e.To
		case client.Left:
			delete(kept, e.ChannelID)
		}
	}
	channel := chat.NewChannelID()
	take(client.Reset{ChannelID: channel, To: client.Position{Seq: 42, Epoch: "1-a"}})
	fmt.Println(kept[channel].Seq)
	// Output: 42
}
