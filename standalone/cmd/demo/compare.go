package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"parley.chat/shared-contracts/chat"
)

// pollInterval is the interval at which PostgreSQL is queried until it contains all messages.
const pollInterval = 20 * time.Millisecond

// stored waits until PostgreSQL contains at least want messages of the channel, and returns the
// channel's messages as read from PostgreSQL.
func stored(ctx context.Context, databaseURL string, channel chat.ChannelID, want int) ([]line, error) {
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for count := 0; count < want; {
		err := conn.QueryRow(ctx, "select count(*) from messages where channel_id = $1 and kind = 'message'", channel).Scan(&count)
		if err != nil {
			return nil, fmt.Errorf("count rows (%d of %d found): %w", count, want, err)
		}
		if count >= want {
			break
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("PostgreSQL holds %d of %d messages after %v", count, want, waitTimeout)
		case <-time.After(pollInterval):
		}
	}
	rows, err := conn.Query(ctx, "select seq, body from messages where channel_id = $1 and kind = 'message' order by seq", channel)
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l line, err error) {
		err = row.Scan(&l.seq, &l.body)
		return l, err
	})
}

// report holds the messages from one source, such as a user or PostgreSQL. The first report is the
// reference.
type report struct {
	who   string
	lines []line
	hole  error // error for the first missing or repeated seq, or nil
}

// Errors for faults that the demo has found.
var (
	errDisagree = errors.New("they do not agree")
	errOrder    = errors.New("not in order")
)

// compare prints a line for each report and verifies that all reports contain the same messages in
// order.
func compare(out io.Writer, reports []report) error {
	fmt.Fprintf(out, "\n  %-24s %9s %9s %9s   %s\n", "", "messages", "first seq", "last seq", "in order")
	var faults []error
	for _, r := range reports {
		first, last, ordered := "-", "-", "yes"
		if n := len(r.lines); n > 0 {
			first, last = strconv.FormatInt(r.lines[0].seq, 10), strconv.FormatInt(r.lines[n-1].seq, 10)
		}
		if r.hole != nil || !slices.IsSortedFunc(r.lines, func(a, b line) int { return cmp.Compare(a.seq, b.seq) }) {
			ordered = "NO"
			faults = append(faults, fmt.Errorf("%s: %w", r.who, cmp.Or(r.hole, errOrder)))
		}
		fmt.Fprintf(out, "  %-24s %9s %9s %9s   %s\n", r.who, thousands(len(r.lines)), first, last, ordered)
		if err := differ(reports[0].lines, r.lines); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", r.who, err))
		}
	}
	fmt.Fprintln(out)
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%w:\n%w", errDisagree, err)
	}
	fmt.Fprintf(out, "All %d agree on every seq and every word. ", len(reports))
	return nil
}

// differ describes the first difference.
func differ(want, got []line) error {
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			return fmt.Errorf("message %d is seq %d %.60q instead of seq %d %.60q", i+1, got[i].seq, got[i].body, want[i].seq, want[i].body)
		}
	}
	if len(want) != len(got) {
		return fmt.Errorf("%d messages instead of %d", len(got), len(want))
	}
	return nil
}

// latency returns a quantile of the message latencies, measured from the send until the other user
// received the message.
func (s *stage) latency(quantile float64) time.Duration {
	sorted := slices.Sorted(slices.Values(s.latencies))
	return sorted[min(int(quantile*float64(len(sorted))), len(sorted)-1)]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
func millis(d time.Duration) string  { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// thousands formats n with thousands separators.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
