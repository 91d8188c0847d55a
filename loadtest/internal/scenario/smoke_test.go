package scenario_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/loadtest/internal/scenario"
	"parley.chat/loadtest/internal/stage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScenarios runs each scenario briefly with few clients against the real programs. It does not
// measure anything; it checks that the scenario works and that clients receive every message once.
func TestScenarios(t *testing.T) {
	bin := proctest.Build(t, "ws-server", "sync-service", "chat-service")
	programs, err := stage.Build(t.Context(), t.TempDir(), bin)
	if err != nil {
		t.Fatal(err)
	}
	var out io.Writer = io.Discard
	if os.Getenv("PARLEY_TEST_LOG") != "" {
		out = os.Stderr
	}
	s, err := stage.Open(t.Context(), programs, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	second, profile := time.Second, filepath.Join(t.TempDir(), "cpu.pb.gz")
	bytesOf := map[string]float64{} // size of a response, by scenario
	for _, tt := range []struct {
		name, target string
		what         scenario.Scenario
		figure       string // must not be 0
		sends        bool
	}{
		{"idle", scenario.Parley, &scenario.Idle{Connections: 20, Members: 10, Hold: second / 2}, "goroutines_per_connection", false},
		{"idle", scenario.Bare, &scenario.Idle{Connections: 20, Members: 10, Hold: second / 2}, "opened_per_second", false},
		{"fanout", scenario.Parley, &scenario.Fanout{Members: 10, Rate: 20, Duration: second, Body: 40}, "", true},
		{"fanout", scenario.Bare, &scenario.Fanout{Members: 10, Rate: 20, Duration: second, Body: 40}, "", true},
		{"many-channels", scenario.Parley, &scenario.ManyChannels{Channels: 5, Members: 3, Rate: 5, Duration: second, Body: 40}, "", true},
		{"many-channels", scenario.Bare, &scenario.ManyChannels{Channels: 5, Members: 3, Rate: 5, Duration: second, Body: 40}, "", true},
		{"ingest", scenario.Parley, &scenario.Ingest{Publishers: 3, Members: 2, Window: 2, Duration: second, Body: 40, Fsync: "everysec", WithSync: true}, "acks_per_second", true},
		{"pipeline", scenario.Parley, &scenario.Pipeline{Publishers: 3, Members: 3, Window: 2, Cursors: second / 10, Duration: 3 * second, Body: 40, Fsync: "everysec"}, "rows_sampled", true},
		{"pipeline at a rate", scenario.Parley, &scenario.Pipeline{Publishers: 2, Members: 2, Window: 1, Rate: 200, Cursors: second, Duration: 2 * second, Body: 40, Fsync: "always"}, "acks_per_second", true},
		{"mixed", scenario.Parley, &scenario.Mixed{People: 60, Large: 3, Each: 4, Team: 5, Speakers: .1, Say: second, Read: second / 2, Churn: .2, Away: second / 5, History: 10, Duration: 3 * second, Body: 40, Profile: profile}, "cut_and_resumed", true},
		{"drain", scenario.Copy, &scenario.Drain{Entries: 3010, Channels: 20, Body: 40, Instances: 1, Fsync: "everysec"}, "entries_per_second", false},
		{"drain", scenario.Parley, &scenario.Drain{Entries: 3010, Channels: 20, Body: 40, Instances: 2, Fsync: "everysec"}, "entries_per_second", false},
		{"curve", scenario.Parley, &scenario.Curve{Members: 200, Ramp: 4000, Step: second / 10, Publishers: 3, Hold: second / 2, Body: 40}, "ingest_highest_acks_per_second", false},
		{"table", scenario.Parley, &scenario.Table{Sizes: []int64{2000, 12000}, Limit: time.Minute, Hashed: 3, Channels: 50, Body: 40, Insert: 1000, Pages: 20}, "bytes_per_row_hashed", false},
		{"script", "", &scenario.AppendScript{Events: 500, Channels: 5, Body: 40, Fsync: "always"}, "events_per_second", false},
		{"storm", scenario.Parley, &scenario.Storm{Clients: 20, Channels: 4, Lacking: 5, Body: 40, Patience: 20 * second}, "seconds", false},
		{"storm, cold", scenario.Parley, &scenario.Storm{Clients: 20, Channels: 4, Lacking: 5, Body: 40, Cold: true, Patience: 20 * second}, "seconds", false},
		{"storm", scenario.Bare, &scenario.Storm{Clients: 20, Channels: 4, Lacking: 5, Body: 40, Patience: 20 * second}, "seconds", false},
		{"history", scenario.Rest, &scenario.History{Clients: 3, People: 3, Channels: 2, Messages: 70, Tail: 20, Body: 40, Warm: second / 4, Duration: second / 2}, "requests_per_second", false},
		{"history", scenario.Parley, &scenario.History{Clients: 3, People: 3, Channels: 2, Messages: 70, Tail: 20, Body: 40, Warm: second / 4, Duration: second / 2}, "requests_per_second", false},
		{"channels", scenario.Rest, &scenario.Channels{Clients: 3, People: 3, Channels: 60, Messages: 30, Unread: 9, Tail: 20, Body: 40, Warm: second / 4, Duration: second / 2}, "requests_per_second", false},
		{"channels", scenario.Parley, &scenario.Channels{Clients: 3, People: 3, Channels: 60, Messages: 30, Unread: 9, Tail: 20, Body: 40, Warm: second / 4, Duration: second / 2}, "requests_per_second", false},
	} {
		t.Run(tt.name+" on "+tt.target, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
			defer cancel()
			r, err := tt.what.Run(ctx, scenario.Env{Stage: s, Target: tt.target, Say: out})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Clean(); err != nil {
				t.Error(err)
			}
			if tt.sends && (r.Sent == 0 || r.Deliveries < r.Sent || r.Latency.P50 <= 0) {
				t.Errorf("sent %d, delivered %d, %+v", r.Sent, r.Deliveries, r.Latency)
			}
			if tt.figure != "" && r.Figures[tt.figure] == 0 {
				t.Errorf("no %s in %v", tt.figure, r.Figures)
			}
			// Whether the backlog grew says how fast the machine is, so it is not checked.
			if r.Figures["not_stored"]+r.Figures["cursors_behind"] > 0 {
				t.Errorf("not everything is stored: %v", r.Figures)
			}
			if raw, err := os.ReadFile(profile); tt.name == "mixed" && (err != nil || !bytes.HasPrefix(raw, []byte{0x1f, 0x8b})) { // gzip
				t.Errorf("the CPU profile: %v, %d bytes", err, len(raw))
			}
			size := r.Figures["bytes_per_answer"]
			if floor := bytesOf[tt.name]; floor != 0 && size != floor {
				t.Errorf("a response has %v bytes, that of the floor %v: they do not return the same", size, floor)
			}
			bytesOf[tt.name] = size
		})
	}
}
