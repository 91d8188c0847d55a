package sender

import (
	"context"

	"parley.chat/internal/eventlog/appender"
	"parley.chat/shared-contracts/frame"
)

// Recorded returns the original ack if e is a retry of an event that was appended earlier; see
// appender.Appender.Recorded. It is for callers that may refuse an event before they send it: a
// retry must get the ack, even if the caller would refuse the event now.
func (s *Sender) Recorded(ctx context.Context, e *frame.Event) (ack appender.Ack, found bool, err error) {
	ack, found, err = s.appender.Recorded(ctx, e)
	if found && err == nil {
		s.traces.Retried(e, ack.ID)
	}
	return ack, found, err
}
