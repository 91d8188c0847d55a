---- tern: disable-tx ----
-- Messages with mentions, in channel order, so that unread mentions can be counted without reading
-- the messages between them.
create index concurrently messages_mentions_idx on messages (channel_id, seq)
  where kind = 'message' and data -> 'mentions' is not null;

---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently messages_mentions_idx;
