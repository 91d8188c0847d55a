---- tern: disable-tx ----
-- Index for finding the edits, deletions and reactions of a message up to a seq. It contains no
-- messages, so storing a message does not write to it. It also replaces the index that contained
-- only the edits.
create index concurrently messages_changes_idx on messages (channel_id, target, kind, seq)
  where kind in ('edit', 'delete', 'reaction');
drop index concurrently messages_edits_idx;

---- create above / drop below ----
---- tern: disable-tx ----
create index concurrently messages_edits_idx on messages (channel_id, target) where kind = 'edit';
drop index concurrently messages_changes_idx;
