// Command bare is the floor of the fan-out scenarios: a minimal broadcaster built on
// gorilla/websocket. It has no store, no Redis, no ordering, no queue, no heartbeat and no
// authentication. It encodes each message once (a prepared message) and writes it to every
// connection of the channel.
//
// Do not change this program: Parley's results are reported relative to it, so its speed must stay
// the same. Its read and write buffers are 1 KiB, the smallest size that holds a whole message.
// Each connection has its own reader goroutine, so that net/http can free the request's memory.
package main

import (
	"log"
	"net/http"
	"os"
	"sync"

	"github.com/gorilla/websocket"
)

// room contains the connections of a channel. mu also ensures that only one goroutine at a time
// writes to a connection.
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
			return // gorilla has written the response
		}
		in.mu.Lock()
		in.conns[c] = struct{}{}
		in.mu.Unlock()
		go in.read(c)
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}

// read broadcasts the messages that c sends, until c is closed.
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
		_ = c.WritePreparedMessage(message) // the reader removes a broken connection
	}
}
