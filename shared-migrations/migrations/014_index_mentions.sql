---- tern: disable-tx ----
-- Index of the messages with mentions, in seq order. It makes it possible to count unread mentions
-- without reading other messages.
create index concurrently messages_mentions_idx on messages (channel_id, seq)
  where kind = 'message' and data -> 'mentions' is not null;

---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently messages_mentions_idx;
