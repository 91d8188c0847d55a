-- Transactional outbox: changes that must be sent to Redis after their transaction has committed.
-- The transaction inserts a row; chat-service relays the change and deletes the row. The rows of
-- one channel (or of one user, if there is no channel) are relayed in id order. event_id is the
-- idempotency key of the resulting event, so relaying a row twice is harmless.
create table outbox (
  id         bigint generated always as identity primary key,
  kind       text        not null,
  event_id   uuid        not null default gen_random_uuid(),
  channel_id uuid,
  actor_id   uuid,
  subject_id uuid,
  payload    jsonb       not null default '{}',
  created_at timestamptz not null default now(),
  check (channel_id is not null or subject_id is not null)
);
create index outbox_order_idx on outbox (coalesce(channel_id, subject_id), id);

grant select, insert, update, delete on outbox to parley_chat;

---- create above / drop below ----

drop table outbox;
