package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/loadtest/internal/stage"
	"parley.chat/loadtest/internal/stats"
	"parley.chat/loadtest/internal/web"
)

// History measures reads of a channel's newest history page. Each client sends its next request as
// soon as it has the response.
type History struct {
	Clients  int           `default:"16" help:"Number of concurrent clients."`
	People   int           `default:"20" help:"Number of users."`
	Channels int           `default:"10" help:"Number of channels; every user is a member of all of them."`
	Messages int           `default:"10000" help:"Stored messages in each channel."`
	Tail     int           `default:"100" help:"Newest messages per channel that are still in Redis."`
	Body     int           `default:"100" help:"Size of a message body in bytes."`
	Warm     time.Duration `default:"3s" help:"Duration of the warm-up."`
	Duration time.Duration `default:"10s" help:"Duration of the measurement."`
}

// Name implements Scenario.
func (*History) Name() string { return "history" }

// pageItems is the default number of items on a page.
const pageItems = 50

// Run implements Scenario.
func (s *History) Run(ctx context.Context, env Env) (*Result, error) {
	o := stage.LibraryOptions{Channels: s.Channels, People: s.People, Messages: s.Messages, Tail: s.Tail, Body: s.Body}
	requests := func(addr string, l *stage.Library) (list []web.Request) {
		for _, p := range l.People {
			for _, c := range l.Channels {
				list = append(list, get(addr, "/v1/channels/"+c.String()+"/messages", p, `"seq":`, min(pageItems, s.Messages)))
			}
		}
		return list
	}
	return read(ctx, env, s, o, s.Clients, s.Warm, s.Duration, requests)
}

// Channels measures requests for a user's list of channels. Each client sends its next request as
// soon as it has the response.
type Channels struct {
	Clients  int           `default:"16" help:"Number of concurrent clients."`
	People   int           `default:"20" help:"Number of users."`
	Channels int           `default:"50" help:"Number of channels; every user is a member of all of them."`
	Messages int           `default:"1000" help:"Stored messages in each channel."`
	Unread   int           `default:"20" help:"Unread messages in every fifth channel."`
	Tail     int           `default:"100" help:"Newest messages per channel that are still in Redis."`
	Body     int           `default:"100" help:"Size of a message body in bytes."`
	Warm     time.Duration `default:"3s" help:"Duration of the warm-up."`
	Duration time.Duration `default:"10s" help:"Duration of the measurement."`
}

// Name implements Scenario.
func (*Channels) Name() string { return "channels" }

// Run implements Scenario.
func (s *Channels) Run(ctx context.Context, env Env) (*Result, error) {
	o := stage.LibraryOptions{Channels: s.Channels, People: s.People, Messages: s.Messages, Unread: s.Unread, Tail: s.Tail, Body: s.Body}
	requests := func(addr string, l *stage.Library) (list []web.Request) {
		for _, p := range l.People {
			list = append(list, get(addr, "/v1/channels?mine=true", p, `"member_count":`, min(pageItems, s.Channels)))
		}
		return list
	}
	return read(ctx, env, s, o, s.Clients, s.Warm, s.Duration, requests)
}

// get returns the bytes of a GET request as an API client would send it. Only the floor
// (floor/rest) reads the X-User header; chat-service ignores it.
func get(addr, path string, p stage.Person, mark string, items int) web.Request {
	return web.Request{Mark: []byte(mark), Items: items, Bytes: []byte("GET " + path + " HTTP/1.1\r\nHost: " + addr +
		"\r\nUser-Agent: parley-loadtest\r\nAccept: application/json\r\nAuthorization: Bearer " + p.Token + "\r\nX-User: " + p.ID.String() + "\r\n\r\n")}
}

// read fills the database with test data, starts Parley or the floor, runs the clients, and
// summarizes the results.
func read(ctx context.Context, env Env, s Scenario, o stage.LibraryOptions, clients int, warm, long time.Duration,
	requests func(addr string, l *stage.Library) []web.Request,
) (_ *Result, err error) {
	defer func() { err = errors.Join(err, env.Stage.Clear()) }()
	if env.Target == Parley {
		if err := env.Stage.StartRedis(ctx, localserver.FsyncEverySec); err != nil {
			return nil, err
		}
	}
	library, err := env.Stage.Fill(ctx, o)
	if err != nil {
		return nil, err
	}
	start := env.Stage.ChatService
	if env.Target == Rest {
		start = env.Stage.Rest
	}
	server, err := start(ctx)
	if err != nil {
		return nil, err
	}
	crowd := web.New(server.Addr, clients, requests(server.Addr, library))
	defer func() { err = errors.Join(err, crowd.Close()) }()
	if t, err := crowd.Run(ctx, warm); err != nil {
		return nil, err
	} else if t.Errors > 0 {
		return nil, fmt.Errorf("warm up: %s", t.FirstError)
	}
	from, err := env.Stage.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	r := &Result{Scenario: s.Name(), Target: env.Target, Started: time.Now().UTC().Round(time.Second), Settings: s, Connections: clients}
	began := time.Now()
	t, err := crowd.Run(ctx, long)
	if err != nil {
		return nil, err
	}
	r.Seconds = stats.Round(time.Since(began).Seconds(), 4)
	to, err := env.Stage.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	r.answered(t, from, to)
	return r, nil
}

// answered adds the clients' measurements and the CPU time per request to the result.
func (r *Result) answered(t *web.Tally, from, to stage.Snapshot) {
	r.Sent, r.Errors, r.FirstError, r.Latency = t.Requests+t.Errors, t.Errors, t.FirstError, t.Latency.Quantiles()
	n := float64(max(t.Requests, 1))
	r.Processes = map[string]Cost{}
	servers := 0.0
	for name, u := range to {
		used := u.CPUSeconds - from[name].CPUSeconds
		r.Processes[name] = Cost{CPUSeconds: stats.Round(used, 4), CPUPerThousand: stats.Round(used/n*1e3, 4), RSSBytes: u.RSSBytes}
		if name != stage.Generator {
			servers += used
		}
	}
	r.Figures = map[string]float64{
		"requests_per_second": stats.Round(float64(t.Requests)/r.Seconds, 4),
		"bytes_per_answer":    stats.Round(float64(t.Bytes)/n, 6),
		"cpu_ms_per_request":  stats.Round(servers/n*1e3, 4),
	}
}
