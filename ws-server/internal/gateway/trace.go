package gateway

import (
	"time"

	"parley.chat/internal/eventlog/msgtrace"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
)

// traceDeliveries returns the hub's callback that records deliveries in traces. It returns nil if
// tracing is off.
func traceDeliveries(traces *msgtrace.Tracer) func(*hub.Channel, []hub.Event, int, time.Time) {
	if traces == nil {
		return nil
	}
	return func(ch *hub.Channel, batch []hub.Event, to int, began time.Time) {
		d := msgtrace.Delivery{Channel: ch.ID(), Began: began, Ended: time.Now(), Events: len(batch), Recipients: to}
		for i := range batch {
			if id, ok := frame.EventID(batch[i].Frame); ok {
				traces.Delivered(id, batch[i].Seq, d)
			}
		}
	}
}
