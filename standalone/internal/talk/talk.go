// Package talk implements a WebSocket client for the terminal, so that users can try Parley without
// installing other tools.
//
// It prints each received frame unchanged. It sends an input line that begins with { unchanged, and
// any other line as a message. Run owns two goroutines: one reads from the WebSocket, the other
// reads the input.
package talk

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

const (
	defaultURL  = "ws://localhost:8080/ws"
	defaultJar  = "parley.cookies"
	dialTimeout = 10 * time.Second
	// closeTimeout limits how long to wait for the server's last answers after the end of the
	// input.
	closeTimeout = time.Second
)

const intro = `Usage: standalone talk [-b cookie jar] [-c channel id] [URL]

Connects to Parley's WebSocket with the session that curl -c has saved (sign up or log in first). Prints
received frames unchanged. Sends what you type as a message to the channel; a line that begins with { is
sent unchanged. Ends at the end of the input (Ctrl-D).

`

// Run connects to the server. It prints and sends frames until the input ends, ctx is done, or the
// server closes the connection.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("talk", flag.ContinueOnError)
	flags.SetOutput(stderr)
	jar := flags.String("b", defaultJar, "cookie jar in the format of curl -c")
	to := flags.String("c", "", "id of the channel to send messages to (default: the newest)")
	flags.Usage = func() {
		fmt.Fprint(stderr, intro)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	address, err := url.Parse(cmp.Or(flags.Arg(0), defaultURL))
	if err != nil || address.Scheme != "ws" && address.Scheme != "wss" || address.Host == "" {
		return fmt.Errorf("the argument is not a URL like %s", defaultURL)
	}
	t := &talker{out: stdout, note: stderr}
	if *to != "" {
		id, err := chat.ParseChannelID(*to)
		if err != nil {
			return fmt.Errorf("-c: %w", err)
		}
		t.channel, t.fixed = id, true
	}
	cookies, err := readJar(*jar, address.Hostname())
	if err != nil {
		return err
	}
	if t.conn, err = dial(ctx, address.String(), cookies); err != nil {
		return err
	}
	defer t.conn.Close()
	return t.talk(ctx, stdin)
}

func dial(ctx context.Context, address, cookies string) (*websocket.Conn, error) {
	d := websocket.Dialer{HandshakeTimeout: dialTimeout, Subprotocols: []string{frame.Subprotocol}, Proxy: http.ProxyFromEnvironment}
	conn, resp, err := d.DialContext(ctx, address, http.Header{"Cookie": {cookies}}) //nolint:bodyclose // gorilla/websocket documents that it need not be closed
	if err == nil {
		return conn, nil
	}
	if resp != nil {
		problem, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // an error only shortens the text
		return nil, fmt.Errorf("connect to %s: %s %s", address, resp.Status, strings.TrimSpace(string(problem)))
	}
	return nil, fmt.Errorf("connect to %s: %w", address, err)
}

// talker holds one connection. Only the goroutine that runs talk writes to conn and uses channel.
type talker struct {
	conn      *websocket.Conn
	out, note io.Writer
	channel   chat.ChannelID // receives the messages
	fixed     bool           // chosen by the user
	sent      int
}

// talk prints the received frames and sends the lines of the input until the connection or the
// input ends.
func (t *talker) talk(ctx context.Context, stdin io.Reader) error {
	frames, hungUp := t.receive()
	defer func() {
		_ = t.conn.Close() // ends the reader
		for range frames { // until the reader has ended
			continue
		}
	}()
	greeted := false
	var lines <-chan line // nil until the hello frame, which lists the channels, has arrived
	var failed error      // input error, returned after the connection has been closed
	stop := ctx.Done()
	var left <-chan time.Time
	for {
		select {
		case data, ok := <-frames:
			if !ok {
				if err := <-hungUp; left == nil || !closedByUs(err) {
					return describe(err)
				}
				return failed
			}
			t.show(data)
			if !greeted {
				greeted, lines = true, readLines(ctx, stdin)
			}
		case l, ok := <-lines:
			if ok && l.err == nil {
				if err := t.say(l.text); err != nil {
					return err
				}
				continue
			}
			failed, lines, left = l.err, nil, time.After(closeTimeout)
		case <-left:
			stop = nil
			t.close()
		case <-stop:
			stop, lines, left = nil, nil, time.After(closeTimeout)
			t.close()
		}
	}
}

// close sends a close frame. When the server answers, the goroutine that reads frames ends.
func (t *talker) close() {
	deadline := time.Now().Add(closeTimeout)
	_ = t.conn.SetReadDeadline(deadline) // for a server that does not answer
	_ = t.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), deadline)
}

func closedByUs(err error) bool {
	return websocket.IsCloseError(err, websocket.CloseNormalClosure) || errors.Is(err, os.ErrDeadlineExceeded)
}

// describe returns a readable error for the reason why the connection has ended.
func describe(err error) error {
	const expired, unauthenticated = 4001, 4501
	switch e, _ := errors.AsType[*websocket.CloseError](err); {
	case e == nil:
		return fmt.Errorf("the connection is lost: %w", err)
	case e.Code == expired, e.Code == unauthenticated:
		return fmt.Errorf("the server requires a new login (code %d): run the curl command for signup again, or log in", e.Code)
	default:
		return fmt.Errorf("the server has closed the connection with code %d %s", e.Code, e.Text)
	}
}

// receive starts the goroutine that reads frames. The goroutine ends when the connection ends, and
// sends the reason to hungUp.
func (t *talker) receive() (frames <-chan []byte, hungUp <-chan error) {
	data, reason := make(chan []byte), make(chan error, 1)
	go func() {
		defer close(data)
		for {
			_, b, err := t.conn.ReadMessage()
			if err != nil {
				reason <- err
				return
			}
			data <- b
		}
	}()
	return data, reason
}

// maxLine is the maximum length of an input line, in bytes. It is far above the maximum frame size
// that a server accepts.
const maxLine = 1 << 20

// line is a line of the input, or the error that ended the input.
type line struct {
	text string
	err  error
}

// readLines starts a goroutine that reads lines. The goroutine ends when the input ends, or at the
// next line after ctx is done, because a read from a terminal cannot be interrupted.
func readLines(ctx context.Context, r io.Reader) <-chan line {
	lines := make(chan line)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(r)
		s.Buffer(nil, maxLine)
		n := 0
		give := func(l line) bool {
			select {
			case lines <- l:
				return true
			case <-ctx.Done():
				return false
			}
		}
		for ; s.Scan(); n++ {
			if !give(line{text: s.Text()}) {
				return
			}
		}
		if err := s.Err(); err != nil {
			give(line{err: fmt.Errorf("line %d of the input and everything after it was not sent: %w", n+1, err)})
		}
	}()
	return lines
}

// show prints a frame. If the user has not chosen a channel, a hello frame or a frame that adds the
// user to a channel also determines the channel to which messages are sent.
func (t *talker) show(data []byte) {
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		fmt.Fprintln(t.out, line)
		var f struct {
			Type     string                 `json:"type"`
			Change   string                 `json:"change"`
			Channel  *frame.ChannelSummary  `json:"channel"`
			Channels []frame.ChannelSummary `json:"channels"`
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil || t.fixed {
			continue
		}
		switch {
		case f.Type == "hello" && len(f.Channels) > 0:
			t.choose(f.Channels[len(f.Channels)-1])
		case f.Type == "hello":
			fmt.Fprintln(t.note, "# you are in no channel yet: create one, or join one by its id")
		case f.Type == "membership" && f.Change == "added" && f.Channel != nil:
			t.choose(*f.Channel)
		}
	}
}

func (t *talker) choose(c frame.ChannelSummary) {
	t.channel = c.ChannelID
	fmt.Fprintf(t.note, "# sending to channel %s (%s); Ctrl-D ends\n", c.Name, c.ChannelID)
}

// say sends a line.
func (t *talker) say(line string) error {
	line = strings.TrimSpace(line)
	if line == "" {
		return nil
	}
	if !strings.HasPrefix(line, "{") {
		if t.channel.IsZero() {
			fmt.Fprintln(t.note, "# no channel to send this to: choose one with -c, or type a complete JSON frame")
			return nil
		}
		t.sent++
		b, err := json.Marshal(map[string]any{
			"type": frame.Send, "ref": strconv.Itoa(t.sent), "channel_id": t.channel, "client_id": chat.NewClientID(), "body": line,
		})
		if err != nil {
			return fmt.Errorf("encode a message: %w", err)
		}
		line = string(b)
	}
	if err := t.conn.WriteMessage(websocket.TextMessage, []byte(line)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// readJar reads a cookie jar in the Netscape format and returns the value of a Cookie header with
// the access token for host.
func readJar(path, host string) (string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("no cookie jar %s: sign up first, with curl -c %s", path, path)
	}
	if err != nil {
		return "", fmt.Errorf("read cookie jar: %w", err)
	}
	const name = "access_token" // over https, the cookie's name has a prefix
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSpace(strings.TrimPrefix(line, "#HttpOnly_")), "\t")
		if len(fields) != 7 || strings.TrimPrefix(fields[5], "__Host-") != name || !sameHost(strings.TrimPrefix(fields[0], "."), host) {
			continue
		}
		if end, err := strconv.ParseInt(fields[4], 10, 64); err == nil && end != 0 && time.Unix(end, 0).Before(time.Now()) {
			return "", fmt.Errorf("the session in %s has expired: log in again", path)
		}
		return fields[5] + "=" + fields[6], nil
	}
	return "", fmt.Errorf("no cookie %s for %s in %s: sign up or log in first, with curl -c %s", name, host, path, path)
}

// sameHost reports whether a and b name the same host. It treats all loopback names and addresses,
// such as localhost and 127.0.0.1, as one host, because they all refer to this machine.
func sameHost(a, b string) bool {
	local := func(s string) bool {
		ip := net.ParseIP(s)
		return s == "localhost" || ip != nil && ip.IsLoopback()
	}
	return strings.EqualFold(a, b) || local(a) && local(b)
}
