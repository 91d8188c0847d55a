-- Small copies of users' pictures, which chat-service downloads from the URLs that users specify.
-- These URLs are no longer shown to other users. Otherwise, a browser that shows a profile would
-- contact a server that the profile's user has chosen.
create table avatars (
  user_id      uuid primary key references users on delete cascade,
  hash         text not null check (hash ~ '^[0-9a-f]{64}$'),
  content_type text not null check (content_type in ('image/png', 'image/jpeg')),
  picture      bytea not null check (octet_length(picture) <= 1048576)
);
create index avatars_hash_idx on avatars (hash);

update users set avatar_url = '' where avatar_url <> '';

grant select, insert, update, delete on avatars to parley_chat;

---- create above / drop below ----

update users set avatar_url = '' where avatar_url <> '';
drop table avatars;
