package rediskey

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
)

// TestCRC16_checkValue checks the check value of CRC-16/XMODEM, which Redis Cluster documents as
// well.
func TestCRC16_checkValue(t *testing.T) {
	if got := crc16([]byte("123456789")); got != 0x31C3 {
		t.Errorf("crc16 = %#04x, want 0x31c3", got)
	}
	if got := crc16(nil); got != 0 {
		t.Errorf("crc16 of nothing = %#04x", got)
	}
}

// TestOf_golden fixes the partition of a channel: a service that computes it differently would
// write to other keys. The vectors are from Python's binascii.crc_hqx.
func TestOf_golden(t *testing.T) {
	for _, tt := range []struct {
		id      string
		of16    int
		of1000  int
		ofWhole int
	}{
		{id: "00000000-0000-0000-0000-000000000000", of16: 4, of1000: 524, ofWhole: 0xe884},
		{id: "ffffffff-ffff-ffff-ffff-ffffffffffff", of16: 7, of1000: 575, ofWhole: 0xe8b7},
		{id: "0b0e7a52-6d0a-4c0f-9d58-3f8f6a1d2c11", of16: 1, of1000: 377, ofWhole: 0x99d1},
		{id: "019b7d5c-0000-7000-8000-0000000000aa", of16: 15, of1000: 383, ofWhole: 0x017f},
		{id: "6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0001", of16: 13, of1000: 973, ofWhole: 0x4a1d},
		{id: "c0ffee00-cafe-4bad-8bad-deadbeef0042", of16: 7, of1000: 111, ofWhole: 0x8157},
	} {
		for _, text := range []string{tt.id, strings.ToUpper(tt.id)} {
			id := uuid.MustParse(text)
			for n, want := range map[int]int{16: tt.of16, 1: 0, 1000: tt.of1000, 1 << 16: tt.ofWhole} {
				if got := Of(id, n); got != want {
					t.Errorf("Of(%s, %d) = %d, want %d", text, n, got, want)
				}
			}
		}
	}
}

// names maps each builder to the name that it builds for partition p.
func names(p int) map[string]string {
	c := chat.ChannelID{UUID: uuid.MustParse("0b0e7a52-6d0a-4c0f-9d58-3f8f6a1d2c11")}
	u := chat.UserID{UUID: uuid.MustParse("019b7d5c-0000-7000-8000-0000000000aa")}
	s := chat.SessionID{UUID: uuid.MustParse("6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0001")}
	k := chat.ClientID{UUID: uuid.MustParse("6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0002")}
	return map[string]string{
		"Stream": Stream(p), "Receipts": Receipts(p), "Dead": Dead(p), "Stored": Stored(p), "Probe": Probe(p),
		"Counter": Counter(p, c), "Tail": Tail(p, c), "Idempotency": Idempotency(p, c, u, k),
		"Cursor": Cursor(p, c), "Removed": Removed(p, c, u), "Topic": Topic(p, c), "PartitionTopic": PartitionTopic(p),
		"UserTopic": UserTopic(p, u), "UserRate": UserRate(p, u), "UserBlocked": UserBlocked(p, u),
		"UserRevoked": UserRevoked(p, u, s), "Online": Online(p, c, "gw-1"), "OnlineCount": OnlineCount(p, c),
		"GatewayChannels": GatewayChannels(p, "gw-1"),
	}
}

func TestNames_golden(t *testing.T) {
	const c, u = "0b0e7a52-6d0a-4c0f-9d58-3f8f6a1d2c11", "019b7d5c-0000-7000-8000-0000000000aa"
	const s, k = "6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0001", "6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0002"
	want := map[string]string{
		"Stream": "parley:{7}:stream", "Receipts": "parley:{7}:receipts", "Dead": "parley:{7}:dead", "Stored": "parley:{7}:stored", "Probe": "parley:{7}:probe",
		"Counter": "parley:{7}:seq:" + c, "Tail": "parley:{7}:tail:" + c, "Idempotency": "parley:{7}:idem:" + c + ":" + u + ":" + k,
		"Cursor": "parley:{7}:cursor:" + c, "Removed": "parley:{7}:removed:" + c + ":" + u, "Topic": "parley:{7}:topic:" + c,
		"PartitionTopic": "parley:{7}:topic:-", "UserTopic": "parley:{7}:user:" + u + ":topic", "UserRate": "parley:{7}:user:" + u + ":rate",
		"UserBlocked": "parley:{7}:user:" + u + ":blocked", "UserRevoked": "parley:{7}:user:" + u + ":revoked:" + s,
		"Online": "parley:{7}:online:" + c + ":gw-1", "OnlineCount": "parley:{7}:online-count:" + c, "GatewayChannels": "parley:{7}:gateway:gw-1:channels",
	}
	got := names(7)
	for builder, name := range want {
		if got[builder] != name {
			t.Errorf("%s = %q, want %q", builder, got[builder], name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d builders, %d golden names", len(got), len(want))
	}
	if !strings.HasPrefix(got["Topic"], TopicPrefix(7)) || !strings.HasPrefix(got["UserTopic"], UserTopicPrefix(7)) {
		t.Error("a topic does not start with its prefix")
	}
}

// TestNames_areAll checks that names contains every builder of a partition's name (a function whose
// first parameter is p), so that the other tests cover it.
func TestNames_areAll(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "rediskey.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := names(0)
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !f.Name.IsExported() || strings.HasSuffix(f.Name.Name, "Prefix") || f.Type.Params.List[0].Names[0].Name != "p" {
			continue
		}
		if _, ok := known[f.Name.Name]; !ok {
			t.Errorf("%s is not tested here", f.Name.Name)
		}
	}
}

// TestNames_haveOneTag checks that every name has exactly one hash tag, which starts at the first
// brace. This allows a script to access all keys of a partition.
func TestNames_haveOneTag(t *testing.T) {
	tags := regexp.MustCompile(`\{[^}]*\}`)
	for _, p := range []int{0, 7, 15, 16383} {
		for builder, name := range names(p) {
			if got, want := tags.FindAllString(name, -1), "{"+strconv.Itoa(p)+"}"; len(got) != 1 || got[0] != want {
				t.Errorf("%s(%d) = %q: tags %v, want one %s", builder, p, name, got, want)
			}
			if strings.Count(name, "{") != 1 || strings.Count(name, "}") != 1 {
				t.Errorf("%s(%d) = %q has stray braces", builder, p, name)
			}
		}
	}
}

func TestNames_areDistinct(t *testing.T) {
	seen := map[string]string{
		Partitions: "Partitions", Gateways: "Gateways",
		Limit("join", "gw-1"): "Limit",
	}
	for _, p := range []int{0, 1, 11, 16} {
		for builder, name := range names(p) {
			if other, taken := seen[name]; taken {
				t.Errorf("%s and %s are both %q", builder, other, name)
			}
			seen[name] = builder
		}
	}
}

func BenchmarkOf(b *testing.B) {
	id := uuid.New()
	b.ReportAllocs()
	for b.Loop() {
		Of(id, 16)
	}
}
