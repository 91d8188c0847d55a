---- tern: disable-tx ----
-- Messages that mention somebody, in the order of their channel: unread mentions are counted in it,
-- however many messages lie between them.
create index concurrently messages_mentions_idx on messages (channel_id, seq)
  where kind = 'message' and data -> 'mentions' is not null;

---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently messages_mentions_idx;
