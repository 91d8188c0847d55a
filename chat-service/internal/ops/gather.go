package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
)

var errUnknownName = errors.New("the host name cannot be resolved")

// maxBytes limits the size of a response, since a misconfigured address may return something other
// than metrics.
const maxBytes = 8 << 20

// families holds the metrics of one instance, by name.
type families map[string]*dto.MetricFamily

// gather queries all instances concurrently and adds up their metrics.
func (s *Service) gather(ctx context.Context, now time.Time) api.OpsMetrics {
	type answer struct {
		metrics families
		err     error
	}
	instances := s.instances(ctx)
	answers := make([]answer, len(instances))
	var wg sync.WaitGroup
	for i, instance := range instances {
		wg.Go(func() { answers[i].metrics, answers[i].err = s.scrape(ctx, instance) })
	}
	wg.Wait()

	out := api.OpsMetrics{At: chat.At(now), Targets: []api.OpsTarget{}}
	var sum summary
	for i, instance := range instances {
		t := api.OpsTarget{URL: displayAddress(instance.url), Up: answers[i].err == nil}
		if err := answers[i].err; err != nil {
			t.Problem = new(err.Error())
		} else {
			t.Figures = figuresOf(answers[i].metrics)
			add(&out.Totals, t.Figures)
			sum.add(answers[i].metrics)
		}
		out.Targets = append(out.Targets, t)
	}
	out.Streams, out.Partitions = sum.streams(), sum.list()
	return out
}

// scrape reads the metrics of one instance. Its error does not contain the address, because the
// page shows the address next to the error.
func (s *Service) scrape(ctx context.Context, from instance) (families, error) {
	if from.err != nil {
		return nil, from.err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("create a request: %w", err)
	}
	req.Host = cmp.Or(from.host, req.Host)
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, reason(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("responded with status %s", resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	found, err := parser.TextToMetricFamilies(io.LimitReader(resp.Body, maxBytes))
	if err != nil {
		return nil, fmt.Errorf("did not respond with metrics: %w", err)
	}
	return found, nil
}

// reason removes the method and the address from a net/http error.
func reason(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if e.Timeout() {
			return errors.New("did not respond in time")
		}
		return e.Err
	}
	return err
}

// displayAddress returns an address without credentials and without the path /metrics.
func displayAddress(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return "" // cannot happen, because New validates the addresses
	}
	u.User = nil
	return strings.TrimSuffix(u.String(), "/metrics")
}
