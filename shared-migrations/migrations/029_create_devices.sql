-- Devices from which a user has logged in. token_hash is the SHA-256 hash of a token that the
-- device stores. The user can still try to log in from a known device when other devices have
-- exhausted the account's limit on attempts. Several users may share a device.
create table devices (
  user_id    uuid not null references users on delete cascade,
  token_hash bytea not null,
  used_at    timestamptz not null default now(),
  primary key (user_id, token_hash)
);
create index devices_token_hash_idx on devices (token_hash);

grant select, insert, update, delete on devices to parley_chat;

---- create above / drop below ----

drop table devices;
