// Command bare is the floor of the fan-out scenarios: a broadcaster on gorilla/websocket with nothing
// else. No store, no Redis, no order, no queue, no heartbeat, no authentication. What a client sends
// goes to every connection of its channel, as one prepared message and one write for each.
//
// It is frozen. Parley's figures are ratios to it, so it is neither tuned nor untuned: 1 KiB buffers
// each way (the least that takes our messages in one read), and a reader goroutine of its own per
// connection, so that net/http's memory of the request is freed.
package main

import (
	"log"
	"net/http"
	"os"
	"sync"

	"github.com/gorilla/websocket"
)

// room is the connections of a channel. mu also makes one writer at a time per connection.
type room struct {
	mu    sync.Mutex
	conns map[*websocket.Conn]struct{}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: bare ADDRESS")
	}
	var (
		mu    sync.Mutex
		rooms = map[string]*room{}
		up    = websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024}
	)
	http.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("channel")
		mu.Lock()
		in := rooms[name]
		if in == nil {
			in = &room{conns: map[*websocket.Conn]struct{}{}}
			rooms[name] = in
		}
		mu.Unlock()
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return // gorilla has answered
		}
		in.mu.Lock()
		in.conns[c] = struct{}{}
		in.mu.Unlock()
		go in.read(c)
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}

// read hands on what c sends, until c ends.
func (r *room) read(c *websocket.Conn) {
	defer func() {
		r.mu.Lock()
		delete(r.conns, c)
		r.mu.Unlock()
		_ = c.Close()
	}()
	for {
		_, data, err := c.ReadMessage()
		if err != nil {
			return
		}
		r.broadcast(data)
	}
}

func (r *room) broadcast(data []byte) {
	message, err := websocket.NewPreparedMessage(websocket.TextMessage, data)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.WritePreparedMessage(message) // the reader of a broken connection takes it out
	}
}
