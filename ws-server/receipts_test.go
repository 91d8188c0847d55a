package wsserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
)

// cursorFrame returns a delivered or read frame.
func cursorFrame(kind string, c chat.ChannelID, seq int64) map[string]any {
	return map[string]any{"type": kind, "channel_id": c, "seq": seq}
}

// receiptsIn returns p's receipts that conn received, in order.
func receiptsIn(t *testing.T, conn *wstest.Conn, p person) (all []receiptlog.Receipt) {
	t.Helper()
	for _, f := range conn.Frames() {
		if f.Type != "receipt" || f.UserID != p.ID {
			continue
		}
		var r frame.Receipt
		if err := json.Unmarshal(f.Raw, &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, receiptlog.Receipt{Delivered: r.DeliveredSeq, Read: r.ReadSeq})
	}
	return all
}

// awaitReceipt waits until p's last receipt that conn received is want.
func awaitReceipt(t *testing.T, conn *wstest.Conn, p person, want receiptlog.Receipt) {
	t.Helper()
	testkit.Until(t, testkit.Timeout, func() error {
		all := receiptsIn(t, conn, p)
		if len(all) == 0 || all[len(all)-1] != want {
			return fmt.Errorf("receipts of %s: %+v, want %+v", p.Name, all, want)
		}
		return nil
	})
}

// moves returns p's moves in a channel from the receipts stream.
func (w *world) moves(c chat.ChannelID, p person) (all []event.Receipt) {
	w.t.Helper()
	raw, err := w.rdb.XRange(context.Background(), rediskey.Receipts(w.log.Partition(c.UUID)), "-", "+").Result()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range raw {
		r, err := event.DecodeReceipts(m.Values)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range r.Moves {
			if r.Channel == c && m.User == p.ID {
				all = append(all, m)
			}
		}
	}
	return all
}

// awaitCursor waits until Redis has the given cursor of p.
func (w *world) awaitCursor(c chat.ChannelID, p person, want receiptlog.Receipt) {
	w.t.Helper()
	testkit.Until(w.t, testkit.Timeout, func() error {
		at, err := w.receipts.Held(context.Background(), c, p.ID)
		if err == nil && at[p.ID] != want {
			err = fmt.Errorf("the cursor of %s is %+v, want %+v", p.Name, at[p.ID], want)
		}
		return err
	})
}

// speak sends n messages over conn and waits for their acks.
func speak(t *testing.T, conn *wstest.Conn, c chat.ChannelID, n int) {
	t.Helper()
	for range n {
		conn.AwaitRef(t, conn.Say(t, c, "hello").String())
	}
}

func TestReceipts_reachMembersOnEveryGateway(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	one, _ := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(one, ann)
	b, _ := w.connect(two, bob)
	phone, _ := w.connect(one, bob)
	speak(t, a, c, 5)

	for _, step := range []struct {
		kind string
		seq  int64
		want receiptlog.Receipt
	}{
		{"delivered", 3, receiptlog.Receipt{Delivered: 3}},
		{"read", 2, receiptlog.Receipt{Delivered: 3, Read: 2}},
		{"read", 4, receiptlog.Receipt{Delivered: 4, Read: 4}},
		{"delivered", 1 << 40, receiptlog.Receipt{Delivered: 5, Read: 4}},
		{"read", 6, receiptlog.Receipt{Delivered: 5, Read: 5}},
	} {
		b.Send(t, cursorFrame(step.kind, c, step.seq))
		for _, conn := range []*wstest.Conn{a, b, phone} {
			awaitReceipt(t, conn, bob, step.want)
		}
	}
	// A receipt never moves back, neither on this gateway nor on the other. A later move shows that
	// these were processed.
	b.Send(t, cursorFrame("read", c, 1))
	phone.Send(t, cursorFrame("delivered", c, 2))
	speak(t, a, c, 1)
	testkit.Until(t, testkit.Timeout, func() error {
		b.Send(t, cursorFrame("read", c, 6))
		all := receiptsIn(t, a, bob)
		if all[len(all)-1].Read < 6 {
			return fmt.Errorf("receipts %+v", all)
		}
		return nil
	})
	for _, conn := range []*wstest.Conn{a, b, phone} {
		awaitReceipt(t, conn, bob, receiptlog.Receipt{Delivered: 6, Read: 6})
		var last receiptlog.Receipt
		for _, at := range receiptsIn(t, conn, bob) {
			if at.Max(last) != at {
				t.Errorf("%+v came after %+v", at, last)
			}
			last = at
		}
		if all := receiptsIn(t, conn, ann); len(all) > 0 {
			t.Errorf("sending a message has moved the sender's cursor: %+v", all)
		}
	}
}

func TestReceipts_aBurstMakesTwoMoves(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	speak(t, a, c, 100)
	began := time.Now()
	for seq := int64(1); seq <= 100; seq++ {
		b.Send(t, cursorFrame("read", c, seq))
		// This keeps the moves from arriving at the same time.
		b.Send(t, map[string]any{"type": "ping", "ref": fmt.Sprint(seq)})
		b.AwaitRef(t, fmt.Sprint(seq))
	}
	awaitReceipt(t, a, bob, receiptlog.Receipt{Delivered: 100, Read: 100})
	maxFrames := 1 + int(time.Since(began)/time.Second) // two, unless the sends took longer
	if moves := w.moves(c, bob); len(moves) > maxFrames {
		t.Errorf("%d moves: %+v", len(moves), moves)
	}
	if all := receiptsIn(t, a, bob); len(all) > maxFrames {
		t.Errorf("%d receipts: %+v", len(all), all)
	}
}

// A member may send receipts without a subscription. A non-member may not.
func TestReceipts_areAcceptedFromMembersOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	c, open, hidden := w.channel(chat.Public, ann, bob), w.channel(chat.Public, ann), w.channel(chat.Private, ann)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	for _, id := range []chat.ChannelID{c, open, hidden} {
		speak(t, a, id, 3)
	}
	b := wstest.Dial(t, url+"/ws?subscribe=none", bob.Token)
	b.AwaitType(t, "hello")
	for i, tt := range []struct {
		channel chat.ChannelID
		code    string
	}{{open, "forbidden"}, {hidden, "not_found"}, {chat.NewChannelID(), "not_found"}} {
		for _, kind := range []string{"delivered", "read"} {
			f := cursorFrame(kind, tt.channel, 1)
			f["ref"] = fmt.Sprint(i, kind)
			b.Send(t, f)
			if got := b.AwaitRef(t, fmt.Sprint(i, kind)); got.Code != tt.code {
				t.Errorf("%s in channel %d: %+v, want %s", kind, i, got, tt.code)
			}
		}
	}
	b.Send(t, cursorFrame("read", c, 2))
	awaitReceipt(t, a, bob, receiptlog.Receipt{Delivered: 2, Read: 2})
	for _, id := range []chat.ChannelID{open, hidden} {
		if moves := w.moves(id, bob); len(moves) > 0 {
			t.Errorf("moves of a non-member: %+v", moves)
		}
	}
}

// largeChannelOf creates a channel with p and n other members, who are not connected.
func (w *world) largeChannelOf(n int, p person) (c chat.ChannelID, others []chat.UserID) {
	w.t.Helper()
	c = w.channel(chat.Public, p)
	ids := make([]string, n)
	for i := range ids {
		u := chat.NewUserID()
		others, ids[i] = append(others, u), u.String()
	}
	w.exec(`insert into users (id, username, email, password_hash)
		select id, 'user' || n, 'user' || n || '@example.test', 'x' from unnest($1::uuid[]) with ordinality as w(id, n)`, ids)
	w.exec(`insert into channel_members (channel_id, user_id) select $1, id from unnest($2::uuid[]) as w(id)`, c.UUID, ids)
	return c, others
}

// moveAll moves the members' receipts, as another gateway would.
func (w *world) moveAll(c chat.ChannelID, users []chat.UserID, at receiptlog.Receipt) {
	w.t.Helper()
	moves := make([]receiptlog.Move, len(users))
	for i, u := range users {
		moves[i] = receiptlog.Move{Channel: c, User: u, Receipt: at}
	}
	if _, err := w.receipts.Move(w.t.Context(), moves); err != nil {
		w.t.Fatal(err)
	}
}

// countsIn returns the receipt_counts frames that conn received.
func countsIn(t *testing.T, conn *wstest.Conn) (all []frame.ReceiptCounts) {
	t.Helper()
	for _, f := range conn.Frames() {
		if f.Type == "receipt_counts" {
			var r frame.ReceiptCounts
			if err := json.Unmarshal(f.Raw, &r); err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
	}
	return all
}

func awaitCounts(t *testing.T, conn *wstest.Conn, want frame.ReceiptCounts) {
	t.Helper()
	testkit.Until(t, testkit.Timeout, func() error {
		all := countsIn(t, conn)
		if len(all) == 0 || all[len(all)-1] != want {
			return fmt.Errorf("counts %+v, want %+v", all, want)
		}
		return nil
	})
}

// In a large channel nobody gets receipts. The sender of the newest message gets counts on every
// connection, and nobody else does.
func TestReceipts_ofLargeChannelsAreCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	c, others := w.largeChannelOf(298, ann)
	w.join(c, bob)
	// Stored receipts count, too. There are 20 members with stored receipts, 5 of whom move later.
	w.exec(`update channel_members set last_delivered_seq = 3, last_read_seq = 3 where channel_id = $1 and user_id = any($2)`,
		c.UUID, uuids(others[:20]))
	one, _ := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(one, ann)
	laptop, _ := w.connect(two, ann)
	b, _ := w.connect(two, bob)
	speak(t, b, c, 2)
	speak(t, a, c, 1)

	w.moveAll(c, others[15:40], receiptlog.Receipt{Delivered: 3}) // few enough to publish by name
	want := frame.ReceiptCounts{ChannelID: c, Seq: 3, DeliveredCount: 40, ReadCount: 20, MemberCount: 299}
	awaitCounts(t, a, want)
	awaitCounts(t, laptop, want)
	w.moveAll(c, others[30:240], receiptlog.Receipt{Delivered: 3, Read: 3}) // too many to publish by name
	want.DeliveredCount, want.ReadCount = 240, 230
	awaitCounts(t, a, want)
	awaitCounts(t, laptop, want)
	b.Send(t, cursorFrame("read", c, 3))
	want.DeliveredCount, want.ReadCount = 241, 231
	awaitCounts(t, a, want)
	awaitCounts(t, laptop, want)
	if got := countsIn(t, b); len(got) > 0 {
		t.Errorf("counts of another's message: %+v", got)
	}
	// Now bob's message is the newest. His own receipt does not count.
	speak(t, b, c, 1)
	w.moveAll(c, others[:1], receiptlog.Receipt{Delivered: 4, Read: 4})
	awaitCounts(t, b, frame.ReceiptCounts{ChannelID: c, Seq: 4, DeliveredCount: 1, ReadCount: 1, MemberCount: 299})
	if got := countsIn(t, a); got[len(got)-1] != want {
		t.Errorf("counts of another's message: %+v", got)
	}
	for _, conn := range []*wstest.Conn{a, laptop, b} {
		for _, f := range conn.Frames() {
			if f.Type == "receipt" {
				t.Errorf("a receipt in a large channel: %s", f.Raw)
			}
		}
	}
}

func uuids(users []chat.UserID) []string {
	all := make([]string, len(users))
	for i, u := range users {
		all[i] = u.String()
	}
	return all
}

// The test sends messages and moves in a channel with 5,000 members. The number of frames that they
// cause must be limited per second, no matter how many members move or are connected.
func TestReceipts_framesAreBoundedByTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	c, others := w.largeChannelOf(4998, ann)
	w.join(c, bob)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	began := time.Now()
	const messages = 10
	for seq := int64(1); seq <= messages; seq++ {
		speak(t, a, c, 1)
		for half := others; len(half) > 0; half = half[min(len(half), 700):] {
			w.moveAll(c, half[:min(len(half), 700)], receiptlog.Receipt{Delivered: seq, Read: seq - 1})
		}
	}
	awaitCounts(t, a, frame.ReceiptCounts{ChannelID: c, Seq: messages, DeliveredCount: 4998, ReadCount: 0, MemberCount: 4999})
	maxFrames := int(time.Since(began)/time.Second) + 2
	if n := len(countsIn(t, a)); n > maxFrames {
		t.Errorf("%d counts in %s", n, time.Since(began))
	}
	for _, f := range b.Frames() {
		if f.Type == "receipt" || f.Type == "receipt_counts" {
			t.Errorf("bob got %s", f.Raw)
		}
	}
}

// All 5,000 members of a channel read a message at the same time, some over connections to two
// gateways and the rest elsewhere. Members get no receipts of other members. Only the sender gets
// counts, at most once a second per connection, no matter how many members there are and how many
// are connected.
func TestReceipts_allMembersReadAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("ann")
	c, others := w.largeChannelOf(4960, ann)
	one, _ := w.gateway()
	two, _ := w.gateway()
	senders := make([]*wstest.Conn, 2)
	for i, url := range []string{one, two} {
		senders[i], _ = w.connect(url, ann)
	}
	var readers []*wstest.Conn
	for i := range 39 {
		p := w.person(fmt.Sprintf("reader-%d", i))
		w.join(c, p)
		conn, _ := w.connect([]string{one, two}[i%2], p)
		readers = append(readers, conn)
	}
	speak(t, senders[0], c, 1)
	began := time.Now()
	for _, conn := range readers {
		conn.Send(t, cursorFrame("read", c, 1))
	}
	w.moveAll(c, others, receiptlog.Receipt{Delivered: 1, Read: 1})
	for _, conn := range senders {
		awaitCounts(t, conn, frame.ReceiptCounts{ChannelID: c, Seq: 1, DeliveredCount: 4999, ReadCount: 4999, MemberCount: 4999})
	}
	for _, conn := range readers {
		alive(t, conn)
	}
	maxFrames := int(time.Since(began)/time.Second) + 2
	for _, conn := range senders {
		if n := len(countsIn(t, conn)); n > maxFrames {
			t.Errorf("the sender's connection got %d frames in %s, want at most %d", n, time.Since(began), maxFrames)
		}
	}
	for _, conn := range append(readers, senders...) {
		sender := slices.Contains(senders, conn)
		for _, f := range conn.Frames() {
			if f.Type == "receipt" || f.Type == "receipt_counts" && !sender {
				t.Fatalf("a receipt in a large channel: %s", f.Raw)
			}
		}
	}
}

// hello contains the greater of the receipts in Redis and PostgreSQL, and counts the unread
// messages after it.
func TestReceipts_helloHasTheGreaterCursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	behind, ahead, done := w.channel(chat.Public, ann, bob), w.channel(chat.Public, ann, bob), w.channel(chat.Public, ann, bob)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	for _, c := range []chat.ChannelID{behind, ahead, done} {
		speak(t, a, c, 6)
		w.exec(`insert into messages (channel_id, seq, id, client_id, kind, sender_id, body, sent_at)
			select $1, n, gen_random_uuid(), gen_random_uuid(), 'message', case when n = 6 then $2::uuid else $3::uuid end, 'hello', now()
			from generate_series(1, 6) as n`, c.UUID, bob.ID.UUID, ann.ID.UUID)
		w.deleteTail(c) // so that only the rows count
	}
	w.exec(`update channel_members set last_delivered_seq = 4, last_read_seq = 2 where user_id = $1`, bob.ID.UUID)
	w.moveAll(behind, []chat.UserID{bob.ID}, receiptlog.Receipt{Delivered: 5, Read: 1})
	w.moveAll(ahead, []chat.UserID{bob.ID}, receiptlog.Receipt{Delivered: 3, Read: 3})
	w.moveAll(done, []chat.UserID{bob.ID}, receiptlog.Receipt{Delivered: 6, Read: 6})
	want := map[chat.ChannelID]string{behind: "5 2 3", ahead: "4 3 2", done: "6 6 0"}
	_, hello := w.connect(url, bob)
	for _, s := range hello.Channels {
		if got := fmt.Sprint(s.LastDeliveredSeq, s.LastReadSeq, s.Unread); got != want[s.ChannelID] {
			t.Errorf("delivered, read, unread: %s, want %s", got, want[s.ChannelID])
		}
	}
}

// A stored receipt may have expired in Redis. A lower move must not move it back.
func TestReceipts_neverMoveBelowStoredCursors(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	speak(t, a, c, 6)
	w.exec(`update channel_members set last_delivered_seq = 5, last_read_seq = 3 where user_id = $1`, bob.ID.UUID)
	b.Send(t, cursorFrame("read", c, 2))
	awaitReceipt(t, a, bob, receiptlog.Receipt{Delivered: 5, Read: 3})
	b.Send(t, cursorFrame("read", c, 6))
	awaitReceipt(t, a, bob, receiptlog.Receipt{Delivered: 6, Read: 6})
	if moves := w.moves(c, bob); len(moves) != 2 {
		t.Errorf("moves %+v", moves)
	}
}

// Receipts that a client sent before the gateway stopped must be written, even if the previous move
// was less than a second ago.
func TestReceipts_areMovedBeforeTheGatewayStops(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	one, stop := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(two, ann)
	b, _ := w.connect(one, bob)
	speak(t, a, c, 6)
	b.Send(t, cursorFrame("read", c, 2))
	awaitReceipt(t, a, bob, receiptlog.Receipt{Delivered: 2, Read: 2})
	b.Send(t, cursorFrame("read", c, 5))
	b.Send(t, map[string]any{"type": "ping", "ref": "p"})
	b.AwaitRef(t, "p")
	stop()
	at, err := w.receipts.Held(t.Context(), c, bob.ID)
	if err != nil || at[bob.ID].Read != 5 {
		t.Errorf("bob's cursor is %+v, %v", at[bob.ID], err)
	}
	awaitReceipt(t, a, bob, receiptlog.Receipt{Delivered: 5, Read: 5})
}

// A move that Redis does not accept is retried until Redis accepts it.
func TestReceipts_surviveAnOutageOfRedis(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	speak(t, a, c, 6)
	w.redis.Pause(t)
	b.Send(t, cursorFrame("read", c, 2))
	b.Send(t, cursorFrame("read", c, 5))
	b.Send(t, map[string]any{"type": "ping", "ref": "p"})
	b.AwaitRef(t, "p")
	w.redis.Resume(t)
	w.awaitCursor(c, bob, receiptlog.Receipt{Delivered: 5, Read: 5})
}

// The counter of a channel without subscriptions is not checked periodically, so the move must
// detect that the counter is gone.
func TestReceipts_recreateAMissingCounter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bob := w.person("bob")
	c := w.channel(chat.Public, bob)
	w.exec(`insert into messages (channel_id, seq, id, client_id, kind, sender_id, body, sent_at)
		select $1, n, gen_random_uuid(), gen_random_uuid(), 'message', gen_random_uuid(), 'hello', now() from generate_series(1, 6) as n`, c.UUID)
	url, _ := w.gateway()
	b := wstest.Dial(t, url+"/ws?subscribe=none", bob.Token)
	b.AwaitType(t, "hello")
	if n, err := w.rdb.Del(t.Context(), rediskey.Counter(w.log.Partition(c.UUID), c)).Result(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	b.Send(t, cursorFrame("read", c, 5))
	w.awaitCursor(c, bob, receiptlog.Receipt{Delivered: 5, Read: 5})
}

// Receipts keep working without PostgreSQL, even for members whose receipt is not in Redis yet.
func TestReceipts_workWithoutPostgreSQL(t *testing.T) {
	t.Parallel()
	pg := schematest.NewServer(t)
	w := newWorldOn(t, &pg.DB)
	ann, bob := w.person("ann"), w.person("bob")
	c := w.channel(chat.Public, ann, bob)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	speak(t, a, c, 3)
	pg.Stop(t)
	b.Send(t, cursorFrame("read", c, 2))
	awaitReceipt(t, a, bob, receiptlog.Receipt{Delivered: 2, Read: 2})
	a.Send(t, cursorFrame("delivered", c, 3))
	awaitReceipt(t, b, ann, receiptlog.Receipt{Delivered: 3})
}

// A gateway that has not seen a message of the channel finds the newest one among the stored
// messages.
func TestReceipts_ofLargeChannelsWorkAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("ann")
	c, others := w.largeChannelOf(150, ann)
	for seq := 1; seq <= 4; seq++ {
		w.exec(`insert into messages (channel_id, seq, id, client_id, kind, sender_id, body, sent_at)
			values ($1, $2, gen_random_uuid(), gen_random_uuid(), $3, $4, 'hello', now())`,
			c.UUID, seq, map[bool]string{true: "message", false: "member_joined"}[seq <= 2], ann.ID.UUID)
	}
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	w.moveAll(c, others[:7], receiptlog.Receipt{Delivered: 4, Read: 1})
	awaitCounts(t, a, frame.ReceiptCounts{ChannelID: c, Seq: 2, DeliveredCount: 7, MemberCount: 150})
	w.moveAll(c, others[:3], receiptlog.Receipt{Read: 2})
	awaitCounts(t, a, frame.ReceiptCounts{ChannelID: c, Seq: 2, DeliveredCount: 7, ReadCount: 3, MemberCount: 150})
}
