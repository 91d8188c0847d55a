package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// rateBlock is the maximum time for which a user who has exceeded the rate limit is blocked.
const rateBlock = 30 * time.Second

//go:embed conversation.txt
var conversation string

// cue is a message of the conversation and the index of the user who sends it (0 or 1).
type cue struct {
	speaker int
	body    string
}

// readScript returns the conversation, repeated until it has count lines.
func readScript(count int) ([]cue, error) {
	var once []cue
	for text := range strings.Lines(conversation) {
		text = strings.TrimSuffix(text, "\n")
		if strings.HasPrefix(text, "#") || text == "" {
			continue
		}
		name, body, ok := strings.Cut(text, ": ")
		speaker := slices.Index([]string{"ada", "grace"}, name)
		if !ok || speaker < 0 {
			return nil, fmt.Errorf("conversation.txt: nobody speaks %q", text)
		}
		once = append(once, cue{speaker, body})
	}
	script := make([]cue, count)
	for i := range script {
		script[i] = once[i%len(once)]
	}
	return script, nil
}

// stage runs the conversation between the two users. It must be used by only one goroutine.
type stage struct {
	actors    [2]*actor
	channel   chat.ChannelID
	out       io.Writer
	slow      bool // the rate limit determines the speed
	latencies []time.Duration

	// State of the message that is being sent: its ack, and the time at which the other user
	// received it.
	speaker *actor
	current chat.ClientID
	acked   int64 // seq, or 0
	heard   time.Time
}

func newStage(ada, grace *actor, channel chat.ChannelID, out io.Writer) *stage {
	return &stage{actors: [2]*actor{ada, grace}, channel: channel, out: out}
}

func (s *stage) open(ctx context.Context) error {
	for _, a := range s.actors {
		if err := a.connect(ctx, s.channel); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) close() {
	for _, a := range s.actors {
		a.disconnect()
	}
}

// pace returns a note about the expected duration if the rate limit makes the demo slow. Otherwise
// it returns "".
func (s *stage) pace(count int) string {
	l := s.actors[0].limits
	each := (count + 1) / 2
	if l.RateMessages <= 0 || l.RateSeconds <= 0 || l.RateMessages >= each {
		return ""
	}
	took := time.Duration(each/l.RateMessages*l.RateSeconds) * time.Second
	if s.slow = took >= 5*time.Second; !s.slow {
		return ""
	}
	return fmt.Sprintf("  This instance lets a user send %d messages in %d s, so this takes about %s. To be quicker: demo -own, or\n"+
		"  demo -n 40, or start the instance with RATE_LIMIT=off.", l.RateMessages, l.RateSeconds, apierr.Duration(took))
}

// perform plays the script. It sends each line when the previous one has been acknowledged and the
// other user has received it. It returns the acknowledged lines in order.
func (s *stage) perform(ctx context.Context, script []cue) ([]line, error) {
	said := make([]line, 0, len(script))
	for i, c := range script {
		speaker := s.actors[c.speaker]
		if err := s.wait(ctx, speaker.rateDelay(time.Now()), nil); err != nil {
			return nil, err
		}
		s.speaker, s.acked, s.heard = speaker, 0, time.Time{}
		began := time.Now()
		speaker.sends = append(speaker.sends, began)
		var err error
		if s.current, err = speaker.client.Post(client.ToChannel(s.channel), c.body); err != nil {
			return nil, fmt.Errorf("%s sends: %w", speaker.name, err)
		}
		// The timeout includes rateBlock, because the user's other clients may have exhausted the
		// rate limit.
		if err := s.wait(ctx, waitTimeout+rateBlock, func() bool { return s.acked > 0 && !s.heard.IsZero() }); err != nil {
			return nil, err
		}
		s.latencies = append(s.latencies, s.heard.Sub(began))
		said = append(said, line{s.acked, c.body})
		if s.slow && (i+1)%20 == 0 {
			fmt.Fprintf(s.out, "\r  %s of %s …\r", thousands(i+1), thousands(len(script)))
		}
	}
	err := s.wait(ctx, waitTimeout, func() bool {
		return len(s.actors[0].heard) >= len(script) && len(s.actors[1].heard) >= len(script)
	})
	return said, err
}

// rateDelay returns how long the actor must wait before the next send to stay within the rate
// limit.
func (a *actor) rateDelay(now time.Time) time.Duration {
	const margin = 100 * time.Millisecond // variation in the latency to the server
	n := a.limits.RateMessages
	if n <= 0 || len(a.sends) < n {
		return 0
	}
	oldest := a.sends[len(a.sends)-n]
	return max(0, oldest.Add(time.Duration(a.limits.RateSeconds)*time.Second+margin).Sub(now))
}

// wait handles events until the callback until returns true. It returns an error if this takes
// longer than timeout. If until is nil, wait handles events for the duration timeout.
func (s *stage) wait(ctx context.Context, timeout time.Duration, until func() bool) error {
	if timeout <= 0 && until == nil {
		return nil
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for until == nil || !until() {
		who := 0
		var e client.Event
		var ok bool
		select {
		case e, ok = <-s.actors[0].client.Events():
		case e, ok = <-s.actors[1].client.Events():
			who = 1
		case <-timer.C:
			if until == nil {
				return nil
			}
			return fmt.Errorf("a message has not arrived within %v: %s heard %d, %s heard %d", timeout,
				s.actors[0].name, len(s.actors[0].heard), s.actors[1].name, len(s.actors[1].heard))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !ok {
			return fmt.Errorf("%s lost the connection: %w", s.actors[who].name, s.actors[who].lost(ctx))
		}
		if err := s.handle(s.actors[who], e); err != nil {
			return err
		}
	}
	return nil
}

// handle processes one event that an actor received.
func (s *stage) handle(a *actor, e client.Event) error {
	switch e := e.(type) {
	case client.Status:
		switch {
		case e.State == client.Failed:
			return fmt.Errorf("%s was refused: %w", a.name, e.Err)
		case e.State == client.Sent && e.ClientID == s.current:
			s.acked = e.Seq
		}
	case client.Reset:
		return fmt.Errorf("%s cannot get all events after %d", a.name, e.From.Seq)
	case client.ChannelEvent:
		if e.ChannelID != s.channel {
			return nil
		}
		a.note(e)
		if e.ClientID != nil && *e.ClientID == s.current && a != s.speaker {
			s.heard = time.Now()
		}
	}
	return nil
}
