---- tern: disable-tx ----
-- Index for finding a message's edits. When the message is deleted, their text is removed.
create index concurrently messages_edits_idx on messages (channel_id, target) where kind = 'edit';

---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently messages_edits_idx;
