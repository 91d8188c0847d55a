-- What later events have made of messages: projections of the log, which sync-service writes in the
-- transaction that stores the events. Both are folded so that the order of storing does not matter, and
-- neither refers to the message, which may be stored later than what was done to it.

-- One row per message that was edited or deleted. The edit with the highest seq holds. A deletion
-- absorbs: no text is left here, nor in the log (messages.body of the message and of its edits is empty
-- then). Of several deletions the first in the channel's order counts.
create table message_states (
  channel_id uuid        not null,
  message_id uuid        not null,
  edit_seq   bigint      not null default 0, -- 0: never edited
  edited_at  timestamptz,
  body       text,                           -- what an edit has made of it; null without one, and once deleted
  mentions   jsonb,                          -- of that edit
  delete_seq bigint,                         -- null: not deleted
  deleted_at timestamptz,
  deleted_by uuid,
  waiting    boolean     not null default false, -- deleted, and the message itself is not stored yet
  primary key (channel_id, message_id)
);
create index message_states_waiting_idx on message_states (channel_id) where waiting;

-- One row per message, emoji and user who ever reacted so; the highest seq says whether it stands.
-- Readers leave out what is removed, and all of a deleted message.
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
