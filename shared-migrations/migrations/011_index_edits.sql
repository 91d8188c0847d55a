---- tern: disable-tx ----
-- The edits of a message, to remove their text when the message is deleted.
create index concurrently messages_edits_idx on messages (channel_id, target) where kind = 'edit';

---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently messages_edits_idx;
