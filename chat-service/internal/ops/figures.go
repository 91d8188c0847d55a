package ops

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	dto "github.com/prometheus/client_model/go"

	"parley.chat/chat-service/internal/api"
)

// figuresOf extracts the displayed values from an instance's metrics. A metric with labels is not
// exported until it has been incremented. A missing metric therefore means 0 if the instance
// belongs to the service that exports the metric.
func figuresOf(m families) api.OpsFigures {
	f := api.OpsFigures{
		Connections: m.sum("parley_ws_connections"),
		Sends:       m.sum("parley_ws_acks_total", "duplicate", "false"),
		Deliveries:  m.sum("parley_ws_deliveries_total"),
		Errors:      m.sum("parley_ws_errors_total"),
		Inserted:    m.sum("parley_sync_inserted_total"),
		Retries:     m.sum("parley_sync_retries_total"),
		Requests:    m.sum("parley_chat_http_requests_total"),
	}
	if f.Connections != nil {
		f.Sends, f.Errors = cmp.Or(f.Sends, new(int64)), cmp.Or(f.Errors, new(int64))
	}
	if f.Inserted != nil {
		f.Retries = cmp.Or(f.Retries, new(int64))
	}
	return f
}

// add adds the values of one instance to the totals.
func add(totals *api.OpsFigures, f api.OpsFigures) {
	for _, pair := range []struct{ total, of **int64 }{
		{&totals.Connections, &f.Connections},
		{&totals.Sends, &f.Sends},
		{&totals.Deliveries, &f.Deliveries},
		{&totals.Errors, &f.Errors},
		{&totals.Inserted, &f.Inserted},
		{&totals.Retries, &f.Retries},
		{&totals.Requests, &f.Requests},
	} {
		switch {
		case *pair.of == nil:
		case *pair.total == nil:
			*pair.total = new(**pair.of)
		default:
			**pair.total += **pair.of
		}
	}
}

// sum adds up all series of a metric, or only those with the given label. It returns nil if the
// metric does not exist, and 0 if it has no matching series yet.
func (m families) sum(name string, label ...string) *int64 {
	family := m[name]
	if family == nil {
		return nil
	}
	var total float64
	for _, series := range family.GetMetric() {
		if len(label) == 2 && labelOf(series, label[0]) != label[1] {
			continue
		}
		total += value(series)
	}
	return new(int64(total))
}

func value(series *dto.Metric) float64 {
	switch {
	case series.GetCounter() != nil:
		return series.GetCounter().GetValue()
	case series.GetGauge() != nil:
		return series.GetGauge().GetValue()
	}
	return series.GetUntyped().GetValue()
}

func labelOf(series *dto.Metric, name string) string {
	for _, l := range series.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// summary combines the metrics that the instances of sync-service export about the streams. All
// instances measure the same streams at nearly the same time, so summary uses the largest value of
// each gauge. It adds up the counters.
type summary struct {
	known, overBudget bool
	memory            float64 // share of maxmemory in use; 0 if unknown
	vanished          int64
	unsafe            map[string]bool // the unsafe Redis settings that services have reported
	partitions        map[int]*partition
}

type partition struct {
	entries, lag, seconds, pending, dead, receipts, receiptsSeconds float64
}

// gauges maps each metric that has the partition label to its field.
var gauges = map[string]func(*partition) *float64{
	"parley_sync_stream_entries":           func(p *partition) *float64 { return &p.entries },
	"parley_sync_lag_entries":              func(p *partition) *float64 { return &p.lag },
	"parley_sync_lag_seconds":              func(p *partition) *float64 { return &p.seconds },
	"parley_sync_pending_entries":          func(p *partition) *float64 { return &p.pending },
	"parley_sync_dead_entries":             func(p *partition) *float64 { return &p.dead },
	"parley_sync_receipts_waiting_entries": func(p *partition) *float64 { return &p.receipts },
	"parley_sync_receipts_lag_seconds":     func(p *partition) *float64 { return &p.receiptsSeconds },
}

// add adds the metrics of one instance.
func (s *summary) add(m families) {
	if known := m.sum("parley_sync_lag_known"); known != nil && *known > 0 {
		s.known = true
	}
	if over := m.sum("parley_sync_memory_over_budget"); over != nil && *over > 0 {
		s.overBudget = true
	}
	for _, series := range m["parley_sync_redis_memory_ratio"].GetMetric() {
		s.memory = max(s.memory, value(series))
	}
	if n := m.sum("parley_sync_vanished_total"); n != nil {
		s.vanished += *n
	}
	for _, series := range m["parley_redis_unsafe"].GetMetric() {
		if value(series) > 0 {
			if s.unsafe == nil {
				s.unsafe = map[string]bool{}
			}
			s.unsafe[labelOf(series, "setting")] = true
		}
	}
	for name, field := range gauges {
		for _, series := range m[name].GetMetric() {
			n, err := strconv.Atoi(labelOf(series, "partition"))
			if err != nil {
				continue // not one of Parley's metrics
			}
			if s.partitions == nil {
				s.partitions = map[int]*partition{}
			}
			if s.partitions[n] == nil {
				s.partitions[n] = &partition{}
			}
			at := field(s.partitions[n])
			*at = max(*at, value(series))
		}
	}
}

// streams returns the values for all partitions together. An age is the maximum over all
// partitions; every other value is the sum.
func (s *summary) streams() api.OpsStreams {
	out := api.OpsStreams{
		Known: s.known, MemoryOverBudget: s.overBudget, Vanished: s.vanished, UnsafeSettings: slices.Sorted(maps.Keys(s.unsafe)),
	}
	if s.memory > 0 {
		out.MemoryShare = new(s.memory)
	}
	if out.UnsafeSettings == nil {
		out.UnsafeSettings = []string{}
	}
	for _, p := range s.partitions {
		out.Entries += int64(p.entries)
		out.LagEntries += int64(p.lag)
		out.Pending += int64(p.pending)
		out.Dead += int64(p.dead)
		out.Receipts += int64(p.receipts)
		out.LagSeconds = max(out.LagSeconds, p.seconds)
		out.ReceiptsSeconds = max(out.ReceiptsSeconds, p.receiptsSeconds)
	}
	return out
}

func (s *summary) list() []api.OpsPartition {
	list := make([]api.OpsPartition, 0, len(s.partitions))
	for n, p := range s.partitions {
		list = append(list, api.OpsPartition{
			Partition: n, Entries: int64(p.entries), LagEntries: int64(p.lag), LagSeconds: p.seconds, Pending: int64(p.pending), Dead: int64(p.dead),
		})
	}
	slices.SortFunc(list, func(a, b api.OpsPartition) int { return cmp.Compare(a.Partition, b.Partition) })
	return list
}
