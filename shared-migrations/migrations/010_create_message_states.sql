-- The state of messages after later events have been applied. The two tables are projections of the
-- event log, which sync-service writes in the transaction that stores the events. Their contents do
-- not depend on the order in which events are stored. Neither table references the messages table,
-- because a message may be stored after the events that change it.

-- One row per message that was edited or deleted. The edit with the highest seq is effective. A
-- deletion removes the text both here and in the log, where it empties messages.body of the message
-- and of its edits. If there are several deletions, the first one in the channel's order is
-- effective.
create table message_states (
  channel_id uuid        not null,
  message_id uuid        not null,
  edit_seq   bigint      not null default 0, -- 0: never edited
  edited_at  timestamptz,
  body       text,                           -- body after the edit; null if never edited or deleted
  mentions   jsonb,                          -- mentions after the edit
  delete_seq bigint,                         -- null: not deleted
  deleted_at timestamptz,
  deleted_by uuid,
  waiting    boolean     not null default false, -- deleted before the message itself was stored
  primary key (channel_id, message_id)
);
create index message_states_waiting_idx on message_states (channel_id) where waiting;

-- One row per message, emoji and user who ever reacted with it; the event with the highest seq
-- decides whether the reaction is removed. Readers ignore removed reactions and all reactions to a
-- deleted message.
create table message_reactions (
  channel_id uuid        not null,
  message_id uuid        not null,
  emoji      text        not null,
  user_id    uuid        not null,
  seq        bigint      not null,
  removed    boolean     not null,
  reacted_at timestamptz not null,
  primary key (channel_id, message_id, emoji, user_id)
);

grant select on message_states, message_reactions to parley_chat, parley_ws;
grant select, insert, update, delete on message_states, message_reactions to parley_sync;

---- create above / drop below ----

drop table message_reactions;
drop table message_states;
