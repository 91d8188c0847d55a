package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
	"github.com/uptrace/bun"

	"parley.chat/client"
	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/instances"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// Step is a step of a pass.
type Step string

// The steps, in order.
const (
	Login   Step = "login"   // the session is valid or has been started, and the probe's channel exists
	Connect Step = "connect" // every gateway has accepted the probe and follows its channel
	Send    Step = "send"    // the message is acknowledged
	Hear    Step = "hear"    // the message has arrived from every gateway
	Store   Step = "store"   // the message's row is in PostgreSQL
)

var steps = []Step{Login, Connect, Send, Hear, Store}

// channelName is the name of the channel to which the probe sends messages.
const channelName = "parley-probe"

// StepError reports which step of a pass failed, and at which gateway. Gateway is empty if the step
// does not concern a single gateway.
type StepError struct {
	Step    Step
	Gateway string
	Err     error
}

func (e *StepError) Error() string {
	if e.Gateway != "" {
		return fmt.Sprintf("%s: %s: %v", e.Step, e.Gateway, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Step, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// result holds the duration of each step and the number of gateways.
type result struct {
	took     map[Step]time.Duration
	gateways int
}

// summary returns the result in the form that is printed as JSON.
func (r result) summary() map[string]any {
	out := map[string]any{"ok": true, "gateways": r.gateways}
	for s, took := range r.took {
		out[string(s)+"_ms"] = float64(took.Microseconds()) / 1000
	}
	return out
}

// probe checks a deployment with one account, which stays logged in. It is not safe for concurrent
// use.
type probe struct {
	cfg     Config
	db      *bun.DB // nil if rows are not checked
	session *client.Session
	channel chat.ChannelID
	passes  int
}

func open(cfg Config) (*probe, error) {
	p := &probe{cfg: cfg}
	if cfg.DatabaseURL == "" {
		return p, nil
	}
	db, err := database.Open(cfg.DatabaseURL, database.Options{Role: cfg.DatabaseRole, MaxConns: 1})
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	p.db = db
	return p, nil
}

func (p *probe) close() {
	if p.db != nil {
		_ = p.db.Close()
	}
}

// logOut ends the session, if there is one.
func (p *probe) logOut(ctx context.Context) error {
	if p.session == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	if err := p.session.LogOut(ctx); err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}

// pass runs one pass. If a step fails, the error is a *StepError, and the result contains only the
// steps before it.
func (p *probe) pass(ctx context.Context) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	r := result{took: map[Step]time.Duration{}}
	timed := func(step Step, do func() error) error {
		began := time.Now()
		err := do()
		r.took[step] = time.Since(began)
		if _, ok := errors.AsType[*StepError](err); err == nil || ok {
			return err
		}
		return &StepError{Step: step, Err: err}
	}
	var listeners []*listener
	defer func() {
		cancel()
		for _, e := range listeners {
			<-e.done
		}
	}()
	var ack client.Ack
	err := timed(Login, func() error { return p.login(ctx) })
	if err == nil {
		err = timed(Connect, func() (err error) {
			listeners, err = p.connect(ctx)
			r.gateways = len(listeners)
			return err
		})
	}
	if err == nil {
		speaker := listeners[p.passes%len(listeners)] // each pass sends through the next gateway
		err = timed(Send, func() (err error) {
			ack, err = speaker.client.Send(ctx, client.ToChannel(p.channel), "probe "+time.Now().UTC().Format(time.RFC3339))
			return at(Send, speaker.gateway, err)
		})
	}
	if err == nil {
		err = timed(Hear, func() error {
			for _, e := range listeners {
				if err := e.awaitEvent(ctx, ack.ID); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil && p.db != nil {
		err = timed(Store, func() error { return p.stored(ctx, ack) })
	}
	p.passes++
	if err != nil {
		failed, _ := errors.AsType[*StepError](err)
		maps.DeleteFunc(r.took, func(s Step, _ time.Duration) bool { return s == failed.Step })
	}
	return r, err
}

func at(step Step, gateway string, err error) error {
	if err == nil {
		return nil
	}
	return &StepError{Step: step, Gateway: gateway, Err: err}
}

// login does nothing if the session is valid. Otherwise it starts a session, and finds or creates
// the probe's channel.
func (p *probe) login(ctx context.Context) error {
	if p.session != nil {
		if _, err := p.session.Token(ctx, ""); err == nil {
			return nil
		}
		p.session = nil
	}
	session, err := client.LogIn(ctx, p.cfg.URL, p.cfg.User, p.cfg.Password)
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Code == apierr.InvalidCredentials && p.cfg.Email != "" {
		session, err = client.SignUp(ctx, p.cfg.URL, p.cfg.User, p.cfg.Email, p.cfg.Password)
	}
	if err != nil {
		return err
	}
	p.session = session
	api, err := client.NewAPI(p.cfg.URL, session, nil)
	if err != nil {
		return err
	}
	mine, err := api.MyChannels(ctx)
	if err != nil {
		return fmt.Errorf("list channels: %w", err)
	}
	for i := range mine {
		if mine[i].Name == channelName && mine[i].Kind == chat.Private {
			p.channel = mine[i].ID
			return nil
		}
	}
	created, err := api.CreateChannel(ctx, channelName, chat.Private)
	if err != nil {
		return fmt.Errorf("create the channel: %w", err)
	}
	p.channel = created.ID
	return nil
}

// stored waits until the message's row is in PostgreSQL.
func (p *probe) stored(ctx context.Context, ack client.Ack) error {
	var last error
	for {
		var n int
		last = p.db.NewRaw("select count(*) from messages where channel_id = ? and seq = ? and id = ?", p.channel, ack.Seq, ack.ID).Scan(ctx, &n)
		if last == nil && n == 1 {
			return nil
		}
		if !lifecycle.Sleep(ctx, 50*time.Millisecond) {
			if last == nil || ctx.Err() != nil {
				last = fmt.Errorf("there is no row of message %s (channel %s, seq %d)", ack.ID, p.channel, ack.Seq)
			}
			return last
		}
	}
}

// listener is a connection to one gateway.
type listener struct {
	gateway string
	client  *client.Client
	joined  chan struct{}          // closed once the gateway follows the channel
	heard   chan chat.EventID      // received events
	err     error                  // error from the client's Run; read it only after done is closed
	done    chan struct{}          // closed when the client and its reader have ended
	offline chan client.Connection // the newest reason for being offline
}

// connect connects to every gateway and waits until all connections follow the channel. The
// connections end when ctx is done.
func (p *probe) connect(ctx context.Context) ([]*listener, error) {
	gateways, err := p.gateways(ctx)
	if err != nil {
		return nil, err
	}
	listeners := make([]*listener, 0, len(gateways))
	for _, g := range gateways {
		c, err := client.New(client.Config{URL: p.cfg.URL, Tokens: p.session, Sockets: []string{g.url}, Dialer: g.dialer()})
		if err != nil {
			return listeners, at(Connect, g.name(), err)
		}
		e := &listener{
			gateway: g.name(), client: c, joined: make(chan struct{}), heard: make(chan chat.EventID, 64), done: make(chan struct{}),
			offline: make(chan client.Connection, 1),
		}
		listeners = append(listeners, e)
		go e.run(ctx, p.channel)
	}
	for _, e := range listeners {
		select {
		case <-e.joined:
		case <-e.done:
			return listeners, at(Connect, e.gateway, e.why(ctx))
		case <-ctx.Done():
			return listeners, at(Connect, e.gateway, e.why(ctx))
		}
	}
	return listeners, nil
}

// run receives events until ctx is done.
func (e *listener) run(ctx context.Context, channel chat.ChannelID) {
	defer close(e.done)
	ended := make(chan error, 1)
	go func() { ended <- e.client.Run(ctx) }()
	follows := false
	for event := range e.client.Events() {
		switch event := event.(type) {
		case client.Joined:
			if event.Channel.ChannelID == channel && !follows {
				follows = true
				close(e.joined)
			}
		case client.ChannelEvent:
			select {
			case e.heard <- event.ID:
			case <-ctx.Done():
			}
		case client.Connection:
			if event.Err != nil {
				select {
				case <-e.offline:
				default:
				}
				e.offline <- event
			}
		}
	}
	e.err = <-ended
}

// awaitEvent waits for an event.
func (e *listener) awaitEvent(ctx context.Context, id chat.EventID) error {
	for {
		select {
		case got := <-e.heard:
			if got == id {
				return nil
			}
		case <-e.done:
			return at(Hear, e.gateway, e.why(ctx))
		case <-ctx.Done():
			return at(Hear, e.gateway, e.why(ctx))
		}
	}
}

// why explains why an event did not arrive. It returns the error that ended the connection or, if
// there is none, the last connection error.
func (e *listener) why(ctx context.Context) error {
	select {
	case <-e.done:
		if e.err != nil {
			return e.err
		}
	default:
	}
	select {
	case c := <-e.offline:
		return c.Err
	default:
		return fmt.Errorf("nothing arrived in time: %w", context.Cause(ctx))
	}
}

// gateway identifies one gateway. dial is the address to connect to if the host name in url has
// several addresses; otherwise it is empty.
type gateway struct{ url, dial string }

func (g gateway) name() string {
	shown := config.PublicURL(g.url)
	if g.dial == "" {
		return shown
	}
	return shown + " at " + g.dial
}

func (g gateway) dialer() *websocket.Dialer {
	d := &websocket.Dialer{Proxy: http.ProxyFromEnvironment}
	if g.dial != "" {
		d.Proxy = nil
		d.NetDialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, g.dial)
		}
	}
	return d
}

// gateways returns the gateways at all addresses to which the configured host names resolve.
func (p *probe) gateways(ctx context.Context) ([]gateway, error) {
	if len(p.cfg.Gateways) == 0 {
		u, err := url.Parse(p.cfg.URL)
		if err != nil {
			return nil, err
		}
		u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
		return []gateway{{url: u.JoinPath("ws").String()}}, nil
	}
	var all []gateway
	for _, raw := range p.cfg.Gateways {
		u, err := url.Parse(raw)
		if err != nil {
			return nil, err
		}
		addresses, err := instances.Addresses(ctx, net.DefaultResolver, u.Hostname())
		if err != nil {
			return nil, at(Connect, config.PublicURL(raw), err)
		}
		if len(addresses) == 1 {
			all = append(all, gateway{url: raw})
			continue
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
		}
		for _, a := range addresses {
			all = append(all, gateway{url: raw, dial: net.JoinHostPort(a.String(), port)})
		}
	}
	return all, nil
}
