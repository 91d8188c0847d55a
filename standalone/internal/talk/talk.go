// Package talk is a WebSocket client for the terminal, for trying Parley out with nothing installed.
//
// Each frame that comes is printed as it is. A line typed that begins with { is sent as it is; any other
// line is sent as a message. Run owns the two goroutines that read the socket and the lines.
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
	defaultURL = "ws://localhost:8080/ws"
	defaultJar = "parley.cookies"
	dialWithin = 10 * time.Second
	// goodbye is how long the last answers may take after the end of the input.
	goodbye = time.Second
)

const intro = `Usage: standalone talk [-b cookie jar] [-c channel id] [URL]

Connects to Parley's WebSocket with the session that curl -c has saved (sign up or log in first). Frames
are printed as they come. What you type is sent as a message to the channel, unless it begins with {:
then it is sent as it is. The end of the input (Ctrl-D) ends it.

`

// Run connects and talks until the input or ctx ends, or the server hangs up.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("talk", flag.ContinueOnError)
	flags.SetOutput(stderr)
	jar := flags.String("b", defaultJar, "cookie jar, as curl -c writes it")
	to := flags.String("c", "", "id of the channel that gets the messages (default the newest)")
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
	d := websocket.Dialer{HandshakeTimeout: dialWithin, Subprotocols: []string{frame.Subprotocol}, Proxy: http.ProxyFromEnvironment}
	conn, resp, err := d.DialContext(ctx, address, http.Header{"Cookie": {cookies}}) //nolint:bodyclose // gorilla: it need not be closed
	if err == nil {
		return conn, nil
	}
	if resp != nil {
		problem, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // what there is of it
		return nil, fmt.Errorf("connect to %s: %s %s", address, resp.Status, strings.TrimSpace(string(problem)))
	}
	return nil, fmt.Errorf("connect to %s: %w", address, err)
}

// talker is one conversation. Only the goroutine of talk writes to conn and knows channel.
type talker struct {
	conn      *websocket.Conn
	out, note io.Writer
	channel   chat.ChannelID // gets the messages
	fixed     bool           // chosen by the user
	sent      int
}

// talk prints frames and sends lines until one of the two ends.
func (t *talker) talk(ctx context.Context, stdin io.Reader) error {
	frames, hungUp := t.receive()
	defer func() {
		_ = t.conn.Close() // ends the reading
		for range frames { // until the reader has ended
			continue
		}
	}()
	greeted := false
	var lines <-chan line // from the first frame on, which tells the channels
	var failed error      // of the input; reported once the answers to what was sent have come
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
			failed, lines, left = l.err, nil, time.After(goodbye)
		case <-left:
			stop = nil
			t.close()
		case <-stop:
			stop, lines, left = nil, nil, time.After(goodbye)
			t.close()
		}
	}
}

// close says goodbye; the server's answer ends the reading.
func (t *talker) close() {
	deadline := time.Now().Add(goodbye)
	_ = t.conn.SetReadDeadline(deadline) // for a server that does not answer
	_ = t.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), deadline)
}

func closedByUs(err error) bool {
	return websocket.IsCloseError(err, websocket.CloseNormalClosure) || errors.Is(err, os.ErrDeadlineExceeded)
}

// describe says in words why the server has hung up.
func describe(err error) error {
	const expired, unauthenticated = 4001, 4501
	switch e, _ := errors.AsType[*websocket.CloseError](err); {
	case e == nil:
		return fmt.Errorf("the connection is lost: %w", err)
	case e.Code == expired, e.Code == unauthenticated:
		return fmt.Errorf("the server wants a fresh login (code %d): run the curl line of signup again, or log in", e.Code)
	default:
		return fmt.Errorf("the server has hung up with code %d %s", e.Code, e.Text)
	}
}

// receive starts the reader. It ends when the connection does; hungUp then gets the reason.
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

// maxLine bounds a line of the input, in bytes. It is well above the largest frame that a server accepts.
const maxLine = 1 << 20

// line is a line of the input, or the reason why there are no more.
type line struct {
	text string
	err  error
}

// readLines starts the reader of lines. A read of a terminal cannot be interrupted: the goroutine ends
// with the input, or at the next line after ctx has ended.
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

// show prints what came, and learns which channels there are.
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
	fmt.Fprintf(t.note, "# what you type goes to channel %s (%s); Ctrl-D ends\n", c.Name, c.ChannelID)
}

// say sends a line.
func (t *talker) say(line string) error {
	line = strings.TrimSpace(line)
	if line == "" {
		return nil
	}
	if !strings.HasPrefix(line, "{") {
		if t.channel.IsZero() {
			fmt.Fprintln(t.note, "# no channel to send this to: name one with -c, or write a whole frame in JSON")
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

// readJar returns the access token for host in a cookie jar of Netscape's form, as a Cookie header.
func readJar(path, host string) (string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("no cookie jar %s: sign up first, with curl -c %s", path, path)
	}
	if err != nil {
		return "", fmt.Errorf("read cookie jar: %w", err)
	}
	const name = "access_token" // over https, with a prefix
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

// sameHost treats the names of this machine as one: the cookie was given by the same server.
func sameHost(a, b string) bool {
	local := func(s string) bool {
		ip := net.ParseIP(s)
		return s == "localhost" || ip != nil && ip.IsLoopback()
	}
	return strings.EqualFold(a, b) || local(a) && local(b)
}
