-- The event log: one row per seq in a channel. There are no foreign keys to users or channels,
-- because a backlog can be replayed into a restored database that does not contain them yet.
--
-- kind is the kind of an event (message, edit, delete, reaction, member_joined, member_left,
-- channel_updated, gap) or of a tombstone, which is a row for a seq that holds no event. The kinds
-- of tombstones are failed (the event is a dead letter), lost (Redis lost the event before it was
-- stored) and noop (the event has another seq).
create table messages (
  channel_id uuid        not null,
  seq        bigint      not null check (seq > 0),
  id         uuid        not null,
  kind       text        not null,
  sender_id  uuid        not null,
  client_id  uuid,
  target     uuid,                     -- edit, delete, reaction: the message; member_*: the member
  body       text        not null default '',
  data       jsonb,                    -- fields that only this kind has: reply_to, mentions, emoji, …
  sent_at    timestamptz not null,
  stored_at  timestamptz not null default now(),
  primary key (channel_id, seq),
  constraint messages_id_key unique (channel_id, id)
);

grant select on messages to parley_chat, parley_ws;
grant select, insert, update, delete on messages to parley_sync;

---- create above / drop below ----

drop table messages;
