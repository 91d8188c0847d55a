package chatservice_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

type message struct {
	ID         chat.EventID   `json:"id"`
	Seq        int64          `json:"seq"`
	ClientID   *chat.ClientID `json:"client_id"`
	SenderID   chat.UserID    `json:"sender_id"`
	SenderName string         `json:"sender_name"`
	Body       string         `json:"body"`
	Mentions   []string       `json:"mentions"`
	SentAt     chat.Time      `json:"sent_at"`
	Reactions  []any          `json:"reactions"`
}

type messagePage struct {
	Items []message `json:"items"`
	Next  *string   `json:"next_cursor"`
}

// seqs returns the seqs of a page, separated by spaces.
func (p messagePage) seqs() string {
	var parts []string
	for _, m := range p.Items {
		parts = append(parts, fmt.Sprint(m.Seq))
	}
	return strings.Join(parts, " ")
}

// historyFixture is a channel with 40 messages. Initially, none of them is stored.
type historyFixture struct {
	*world
	ann     user
	channel summary
	said    []frame.Event // seqs 2 to 41
}

func newHistoryFixture(t *testing.T) *historyFixture {
	w := newWorld(t)
	k := &historyFixture{world: w, ann: w.signup("ann")}
	k.channel = w.create(k.ann, "general", "public")
	w.Settled() // seq 1
	bodies := make([]string, 40)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("message %d", i+2)
	}
	k.said = w.appendMessages(k.ann, k.channel.ID, bodies...)
	return k
}

func (k *historyFixture) page(query string) (p messagePage) {
	k.T.Helper()
	k.get("/v1/channels/"+k.channel.ID.String()+"/messages?"+query, k.ann.Token).into(k.T, 200, &p)
	return p
}

// mark raises the watermark of the channel's partition to the entry with the given seq. If cut is
// true, it also trims the tail up to that seq.
func (k *historyFixture) mark(seq int64, cut bool) {
	k.T.Helper()
	p := rediskey.Of(k.channel.ID.UUID, partitions)
	items, err := k.Log.Tail(context.Background(), k.channel.ID, 1000)
	if err != nil {
		k.T.Fatal(err)
	}
	for i, it := range items {
		if it.Seq != seq {
			continue
		}
		var ms, n int64
		if _, err := fmt.Sscanf(it.EntryID, "%d-%d", &ms, &n); err != nil {
			k.T.Fatal(err)
		}
		k.Exec(`insert into sync_watermarks (partition, entry_ms, entry_seq) values ($1, $2, $3)
			on conflict (partition) do update set entry_ms = $2, entry_seq = $3`, p, ms, n)
		if cut {
			if err := k.RDB.LTrim(context.Background(), rediskey.Tail(p, k.channel.ID), int64(i+1), -1).Err(); err != nil {
				k.T.Fatal(err)
			}
		}
		return
	}
	k.T.Fatalf("seq %d is not in the tail", seq)
}

// TestHistory_pages requests the same pages while different parts of the channel are stored. The
// result must not depend on where a message is.
func TestHistory_pages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		store func(k *historyFixture)
	}{
		{"nothing stored", func(*historyFixture) {}},
		{"some stored, no watermark", func(k *historyFixture) {
			for i, e := range k.said {
				if i%3 == 0 {
					k.store(e)
				}
			}
		}},
		{"half stored, watermark", func(k *historyFixture) {
			for _, e := range k.said[:20] {
				k.store(e)
			}
			k.mark(21, false)
		}},
		{"half stored, tail trimmed, some later ones stored", func(k *historyFixture) {
			for i, e := range k.said {
				if i < 20 || i%5 == 0 {
					k.store(e)
				}
			}
			k.mark(21, true)
		}},
		{"all stored, empty tail", func(k *historyFixture) {
			for _, e := range k.said {
				k.store(e)
			}
			k.mark(41, true)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := newHistoryFixture(t)
			tt.store(k)
			for query, want := range map[string]string{
				"limit=3":                "39 40 41",
				"limit=3&before_seq=22":  "19 20 21",
				"limit=4&before_seq=24":  "20 21 22 23",
				"limit=3&before_seq=4":   "2 3",
				"limit=3&before_seq=2":   "",
				"limit=3&before_seq=0":   "",
				"limit=3&after_seq=0":    "2 3 4",
				"limit=4&after_seq=19":   "20 21 22 23",
				"limit=3&after_seq=40":   "41",
				"limit=3&after_seq=41":   "",
				"limit=5&around=21":      "19 20 21 22 23",
				"limit=4&around=21":      "20 21 22 23",
				"limit=1&around=21":      "21",
				"limit=5&around=41":      "37 38 39 40 41",
				"limit=5&around=1":       "2 3 4 5 6",
				"limit=4&around=40":      "38 39 40 41",
				"limit=50&around=30":     "2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41",
				"limit=3&around=999":     "39 40 41",
				"limit=2&after_seq=9999": "",
			} {
				if got := k.page(query).seqs(); got != want {
					t.Errorf("%s: %s, want %s", query, got, want)
				}
			}
			for query, want := range map[string][]string{
				"limit=15":             {"27 28 29 30 31 32 33 34 35 36 37 38 39 40 41", "12 13 14 15 16 17 18 19 20 21 22 23 24 25 26", "2 3 4 5 6 7 8 9 10 11"},
				"limit=20&after_seq=0": {"2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21", "22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41"},
			} {
				page := k.page(query)
				for i, w := range want {
					if got := page.seqs(); got != w {
						t.Errorf("%s, page %d: %s, want %s", query, i+1, got, w)
					}
					if last := i == len(want)-1; last != (page.Next == nil) {
						t.Fatalf("%s, page %d: next_cursor %v", query, i+1, page.Next)
					} else if !last {
						limit, _, _ := strings.Cut(query, "&")
						alone := k.page(limit + "&cursor=" + *page.Next)
						page = k.page(query + "&cursor=" + *page.Next)
						if alone.seqs() != page.seqs() {
							t.Errorf("%s, page %d: %s with only the cursor, but %s with the list's parameters", query, i+2, alone.seqs(), page.seqs())
						}
					}
				}
			}
			page := k.page("limit=1&before_seq=31")
			if len(page.Items) != 1 {
				t.Fatalf("%d items", len(page.Items))
			}
			got, want := page.Items[0], k.said[28]
			if got.ID != want.ID || got.Body != "message 30" || got.SenderID != k.ann.ID || got.SenderName != "ann" ||
				got.ClientID == nil || *got.ClientID != *want.ClientID || !got.SentAt.Equal(want.SentAt.Time) || got.Mentions == nil || got.Reactions == nil {
				t.Errorf("message = %+v, want the message of %+v", got, want)
			}
		})
	}
}

// TestHistory_longBacklog checks that pages far below the head are read from the tail while
// sync-service is down.
func TestHistory_longBacklog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	k := &historyFixture{world: w, ann: ann, channel: w.create(ann, "general", "public")}
	w.Settled()
	bodies := make([]string, 700)
	for i := range bodies {
		bodies[i] = "x"
	}
	k.said = w.appendMessages(ann, k.channel.ID, bodies...)
	for query, want := range map[string]string{
		"limit=2":                "700 701",
		"limit=2&before_seq=100": "98 99",
		"limit=2&after_seq=0":    "2 3",
		"limit=2&after_seq=300":  "301 302",
	} {
		if got := k.page(query).seqs(); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	seen := 0
	for page := k.page("limit=200"); ; {
		seen += len(page.Items)
		if page.Next == nil {
			break
		}
		page = k.page("limit=200&cursor=" + *page.Next)
	}
	if seen != 700 {
		t.Errorf("%d messages on all pages, want 700", seen)
	}
}

func TestHistory_refuses(t *testing.T) {
	t.Parallel()
	k := newHistoryFixture(t)
	path := "/v1/channels/" + k.channel.ID.String() + "/messages?"
	past := *k.page("limit=1").Next
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=201": "limit", "limit=9999999999999999999": "limit", "before_seq=-1": "before_seq",
		"after_seq=x": "after_seq", "around=1.5": "around", "before_seq=1&after_seq=1": "before_seq",
		"cursor=zz": "cursor", "cursor=e30": "cursor", "cursor=eyJiIjoxLCJhIjoxfQ": "cursor",
		"cursor=" + past + "&after_seq=1": "cursor", "cursor=" + past + "&before_seq=1&around=1": "before_seq",
		"cursor=" + *k.page("after_seq=1&limit=1").Next + "&around=1": "cursor",
	} {
		if p := k.get(path+query, k.ann.Token).want(t, 422, "invalid_request"); p.Errors[0].Field != field {
			t.Errorf("%s: errors = %+v", query, p.Errors)
		}
	}
}

// TestHistory_newRedisBehindTheWatermark starts a new Redis, whose clock is behind the old one's
// watermark, while sync-service is down. Waiting entries must not be mistaken for stored ones.
func TestHistory_newRedisBehindTheWatermark(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for p := range partitions {
		w.Exec("insert into sync_watermarks (partition, entry_ms, entry_seq) values ($1, 9000000000000, 5)", p)
	}
	ann := w.signup("ann")
	k := &historyFixture{world: w, ann: ann, channel: w.create(ann, "general", "public")}
	w.Settled()
	w.do("POST", path(k.channel.ID)+"/messages", ann, object{"body": "hello"}).must(t, 201)
	if got := k.page("limit=10"); got.seqs() != "2" {
		t.Errorf("history contains the seqs %q, want 2", got.seqs())
	}
}
