---- tern: disable-tx ----
create unique index concurrently users_lookalike_key on users (lookalike);
create unique index concurrently channels_public_lookalike_key on channels (lookalike)
  where kind = 'public' and group_id is null and deleted_at is null;
create unique index concurrently channels_group_lookalike_key on channels (group_id, lookalike)
  where group_id is not null and deleted_at is null;
-- Indexes of the rows that chat-service has not processed yet. Once all rows have been processed,
-- these indexes are empty.
create index concurrently users_no_lookalike_idx on users (id) where lookalike is null and deleted_at is null;
create index concurrently channels_no_lookalike_idx on channels (id) where lookalike is null and deleted_at is null and kind <> 'direct';

---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently channels_no_lookalike_idx;
drop index concurrently users_no_lookalike_idx;
drop index concurrently channels_group_lookalike_key;
drop index concurrently channels_public_lookalike_key;
drop index concurrently users_lookalike_key;
