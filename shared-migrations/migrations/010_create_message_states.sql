-- The current state of messages after edits, deletions and reactions. The two tables are
-- projections of the event log: sync-service updates them in the transaction that stores the
-- events. Their contents do not depend on the order in which events are stored. They have no
-- foreign keys to messages, because a message may be stored after the events that change it.

-- One row per message that was edited or deleted. The edit with the highest seq takes effect. A
-- deletion removes the text here and in the log: it empties messages.body of the message and of its
-- edits. If there are several deletions, the one with the lowest seq takes effect.
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

-- One row per message, emoji and user, including removed reactions. The event with the highest seq
-- determines whether the reaction is removed. Readers ignore removed reactions and all reactions to
-- deleted messages.
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
