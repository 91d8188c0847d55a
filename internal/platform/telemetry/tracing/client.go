package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"parley.chat/internal/platform/config"
)

// Limits for sending a batch to the collector.
const (
	defaultTimeout = 10 * time.Second // default timeout per attempt in the OpenTelemetry specification
	firstPause     = 500 * time.Millisecond
	maxPause       = 5 * time.Second
	// maxRetryAfter caps the number of seconds in a Retry-After header, so that it fits in a
	// time.Duration. The batch's own timeout is much shorter.
	maxRetryAfter = time.Hour
	answerBytes   = 64 << 10 // maximum number of bytes to read from a response, to make its connection reusable
	reasonBytes   = 256      // maximum stored length of the collector's error message, in bytes
)

// client posts spans to a collector as protobuf. The OpenTelemetry project's own client is not
// used, because it imports the request message's type from a package that depends on gRPC. client
// is safe for concurrent use. It starts no goroutines except those of its HTTP connections, which
// Stop closes.
type client struct {
	url     string
	headers Headers
	gzip    bool
	timeout time.Duration // timeout per attempt
	http    *http.Client
}

func newClient(cfg Config) (*client, error) {
	u, err := config.ParseURL(cfg.Endpoint, "http", "https")
	if err != nil {
		return nil, err
	}
	headers := cfg.Headers
	if len(cfg.TracesHeaders) > 0 {
		headers = cfg.TracesHeaders
	}
	return &client{
		url: u.JoinPath("v1", "traces").String(), headers: headers, gzip: cfg.Compression == "gzip", timeout: cfg.timeout(),
		http: &http.Client{
			Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: 90 * time.Second},
			// Do not follow redirects: that would turn the POST into a GET, or send the keys in the
			// headers to another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Start does nothing, because the first batch opens a connection.
func (c *client) Start(context.Context) error { return nil }

// Stop closes the connections.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// rejectedError reports that the collector rejected some spans of a batch. If spans is 0, it is
// only a warning.
type rejectedError struct {
	spans  int
	reason string
}

func (e *rejectedError) Error() string {
	return fmt.Sprintf("the collector rejected %d spans: %q", e.spans, e.reason)
}

// UploadTraces posts a batch. It retries until the collector accepts or refuses the batch, or ctx
// is done. If the response to an attempt is lost, the collector receives the spans twice and
// recognizes them by their ids. The error is a *rejectedError if the collector accepted only some
// of the spans.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := c.encode(spans)
	if err != nil {
		return err
	}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		again, after, err := c.post(ctx, body)
		if err == nil || !again {
			return err
		}
		select {
		case <-time.After(max(after, pause/2+rand.N(pause/2+1))):
		case <-ctx.Done():
			return err // more informative than ctx.Err()
		}
	}
}

// encode returns the body of an export request. It encodes TracesData, which has the same wire
// format as ExportTraceServiceRequest. That type is not used, because its package imports gRPC.
func (c *client) encode(spans []*tracepb.ResourceSpans) ([]byte, error) {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil || !c.gzip {
		return body, err
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// post makes one attempt to send a batch. It reports whether a retry may succeed, and returns the
// delay that the collector requests.
func (c *client) post(ctx context.Context, body []byte) (again bool, after time.Duration, err error) {
	attempt, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(attempt, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return false, 0, config.WithoutURL(err)
	}
	req.Header.Set("User-Agent", "parley")
	for name, value := range c.headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if c.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return ctx.Err() == nil, 0, config.WithoutURL(err) // the collector may be starting up
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, answerBytes)) // for the log; only the status matters
	if resp.StatusCode/100 == 2 {
		return false, 0, rejected(resp.Header, answer)
	}
	err = fmt.Errorf("the collector returned %s: %q", resp.Status, answer[:min(len(answer), reasonBytes)])
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, retryAfter(resp.Header), err
	}
	return false, 0, err
}

// retryAfter returns the delay in the Retry-After header, which holds a number of seconds or a
// date. It returns 0 if the header is missing or invalid.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		return time.Duration(min(max(n, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// rejected parses ExportTraceServiceResponse: partial_success = 1 { rejected_spans = 1,
// error_message = 2 }. It returns nil for a response that it cannot parse.
func rejected(h http.Header, answer []byte) error {
	if h.Get("Content-Type") != "application/x-protobuf" {
		return nil
	}
	var e rejectedError
	for n, f := range fields(answer) {
		if n != 1 {
			continue
		}
		for n, f := range fields(f.bytes) {
			switch n {
			case 1:
				e.spans = int(f.number)
			case 2:
				e.reason = string(f.bytes[:min(len(f.bytes), reasonBytes)])
			}
		}
	}
	if e == (rejectedError{}) {
		return nil
	}
	return &e
}

// field is the value of a protobuf field: a number or bytes, depending on the wire type.
type field struct {
	number uint64
	bytes  []byte
}

// fields yields the fields of a protobuf message, up to the first malformed field.
func fields(message []byte) iter.Seq2[protowire.Number, field] {
	return func(yield func(protowire.Number, field) bool) {
		for len(message) > 0 {
			n, kind, tag := protowire.ConsumeTag(message)
			if tag < 0 {
				return
			}
			size := protowire.ConsumeFieldValue(n, kind, message[tag:])
			if size < 0 {
				return
			}
			var f field
			switch kind {
			case protowire.VarintType:
				f.number, _ = protowire.ConsumeVarint(message[tag:])
			case protowire.BytesType:
				f.bytes, _ = protowire.ConsumeBytes(message[tag:])
			}
			if !yield(n, f) {
				return
			}
			message = message[tag+size:]
		}
	}
}
