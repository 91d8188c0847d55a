-- Devices from which a user has logged in, identified by the SHA-256 of a token that the device
-- stores. A known device may try passwords even if others have used up the account's limits.
-- Several users may share a device.
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
