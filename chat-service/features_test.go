package chatservice_test

import (
	"context"
	"encoding/json"
	"errors"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/eventlog/eventrow"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
)

// notices subscribes to a user's topic and returns a function that reads the next notice.
func (w *world) notices(u user) func() notice.Notice {
	w.T.Helper()
	sub := w.RDB.SSubscribe(context.Background(), rediskey.UserTopic(rediskey.Of(u.ID.UUID, partitions), u.ID))
	w.T.Cleanup(func() { _ = sub.Close() })
	if _, err := sub.Receive(context.Background()); err != nil {
		w.T.Fatal(err)
	}
	return func() notice.Notice {
		w.T.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
		defer cancel()
		msg, err := sub.ReceiveMessage(ctx)
		if err != nil {
			w.T.Fatal(err)
		}
		n, err := notice.Decode([]byte(msg.Payload))
		if err != nil {
			w.T.Fatal(err)
		}
		return n
	}
}

// gateway returns a function that appends an event the way a gateway does, and returns the event
// with its seq.
func (w *world) gateway() func(frame.Event) frame.Event {
	w.T.Helper()
	floor := func(context.Context, chat.ChannelID) (int64, error) {
		return 0, errors.New("the channel has a counter")
	}
	a := appender.New(w.Log, w.RDB, floor, appender.Config{})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	w.T.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			w.T.Error(err)
		}
	})
	return func(e frame.Event) frame.Event {
		w.T.Helper()
		id := chat.NewClientID()
		e.ID, e.ClientID, e.SentAt = chat.NewEventID(), &id, chat.Now()
		ack, err := a.Append(ctx, e, appender.Options{})
		if err != nil {
			w.T.Fatal(err)
		}
		e.Seq = ack.Seq
		return e
	}
}

// persist stores an event and its effect on messages, as sync-service does. Events may be stored in
// any order.
func (w *world) persist(e frame.Event) {
	w.T.Helper()
	d := eventrow.Data{
		SenderName: e.SenderName, Username: e.Username, Mentions: e.Mentions, ReplyTo: e.ReplyTo, Emoji: e.Emoji, Remove: e.Remove, RemovedBy: e.RemovedBy, Channel: e.Channel,
	}
	var data, client, target any
	if !d.Empty() {
		b, err := json.Marshal(d)
		if err != nil {
			w.T.Fatal(err)
		}
		data = string(b)
	}
	if e.ClientID != nil {
		client = e.ClientID.String()
	}
	switch {
	case e.MessageID != nil:
		target = e.MessageID.String()
	case e.UserID != nil:
		target = e.UserID.String()
	}
	w.Exec(`insert into messages (channel_id, seq, id, kind, sender_id, client_id, target, body, data, sent_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing`,
		e.ChannelID.String(), e.Seq, e.ID.String(), string(e.Type), e.SenderID.String(), client, target, e.Body, data, e.SentAt.Time)
	switch e.Type {
	case event.Edit:
		w.Exec(`insert into message_states as s (channel_id, message_id, edit_seq, edited_at, body, mentions)
			values ($1, $2, $3, $4, $5, ($6::jsonb) -> 'mentions') on conflict (channel_id, message_id) do update
			set edit_seq = excluded.edit_seq, edited_at = excluded.edited_at,
				body = case when s.delete_seq is null then excluded.body end, mentions = case when s.delete_seq is null then excluded.mentions end
			where s.edit_seq < excluded.edit_seq`, e.ChannelID.String(), target, e.Seq, e.SentAt.Time, e.Body, data)
	case event.Delete:
		w.Exec(`insert into message_states as s (channel_id, message_id, delete_seq, deleted_at) values ($1, $2, $3, $4)
			on conflict (channel_id, message_id) do update set delete_seq = excluded.delete_seq, deleted_at = excluded.deleted_at, body = null, mentions = null
			where s.delete_seq is null or excluded.delete_seq < s.delete_seq`, e.ChannelID.String(), target, e.Seq, e.SentAt.Time)
	case event.Reaction:
		w.Exec(`insert into message_reactions as s (channel_id, message_id, user_id, emoji, seq, removed, reacted_at) values ($1, $2, $3, $4, $5, $6, $7)
			on conflict (channel_id, message_id, emoji, user_id) do update
			set seq = excluded.seq, removed = excluded.removed, reacted_at = excluded.reacted_at where s.seq < excluded.seq`,
			e.ChannelID.String(), target, e.SenderID.String(), e.Emoji, e.Seq, e.Remove, e.SentAt.Time)
	}
	w.Exec(`update messages m set body = '' from message_states s where s.channel_id = $1 and m.channel_id = $1 and s.delete_seq is not null
		and (m.id = s.message_id and m.kind = 'message' or m.target = s.message_id and m.kind = 'edit')`, e.ChannelID.String())
}

// mark raises the watermark of a channel's partition to the entry with the given seq. If cut is
// true, it also trims the tail up to that seq.
func (w *world) mark(channel chat.ChannelID, seq int64, cut bool) {
	w.T.Helper()
	k := &historyFixture{world: w, channel: summary{ID: channel}}
	k.mark(seq, cut)
}

// forgetCursors deletes a channel's cursors from Redis, where they expire some time after they were
// stored.
func (w *world) forgetCursors(channel chat.ChannelID) {
	w.T.Helper()
	if err := w.RDB.Del(context.Background(), rediskey.Cursor(rediskey.Of(channel.UUID, partitions), channel)).Err(); err != nil {
		w.T.Fatal(err)
	}
}

// setHead sets a channel's counter and deletes its tail, as if everything were stored.
func (w *world) setHead(channel chat.ChannelID, seq int) {
	w.T.Helper()
	p := rediskey.Of(channel.UUID, partitions)
	if err := w.RDB.HSet(context.Background(), rediskey.Counter(p, channel), "seq", seq).Err(); err != nil {
		w.T.Fatal(err)
	}
	if err := w.RDB.Del(context.Background(), rediskey.Tail(p, channel)).Err(); err != nil {
		w.T.Fatal(err)
	}
}

// slow delays every change of a table's rows, so that concurrent requests overlap.
func (w *world) slow(table string) {
	w.T.Helper()
	w.Exec("create function dawdle() returns trigger language plpgsql as $$ begin perform pg_sleep(0.05); return coalesce(new, old); end $$")
	w.Exec("create trigger dawdle before update or delete on " + table + " for each row execute function dawdle()")
}
