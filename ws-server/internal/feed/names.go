package feed

import (
	"context"
	"slices"

	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
)

// removeNames returns events without the names of users whose accounts are deleted. It changes
// neither the slice nor the frames, because other goroutines may be sending them.
func (f *Feed) removeNames(ctx context.Context, events []hub.Event) []hub.Event {
	if len(events) == 0 {
		return events
	}
	erased := f.cfg.Erased(ctx)
	if len(erased) == 0 {
		return events
	}
	shared := true
	for i := range events {
		user, ok := frame.NamedUserIn(events[i].Kind, events[i].Frame)
		if !ok {
			continue
		}
		if _, gone := erased[user]; !gone {
			continue
		}
		e, err := frame.DecodeEvent(events[i].Frame)
		if err != nil {
			continue // clients cannot decode this event either, so they cannot show the name
		}
		e.RemoveName()
		b, err := e.Encode()
		if err != nil {
			continue
		}
		if shared {
			events, shared = slices.Clone(events), false
		}
		events[i].Frame = b
	}
	return events
}
