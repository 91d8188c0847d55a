---- tern: disable-tx ----
-- For finding a message's edits, whose text is removed when the message is deleted.
create index concurrently messages_edits_idx on messages (channel_id, target) where kind = 'edit';

---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently messages_edits_idx;
