-- Public keys that verify access tokens. A gateway reads them from here if chat-service is not
-- responding. Only chat-service writes them. If no chat-service instance has confirmed a key for
-- several minutes, the key has been retired.
create table token_keys (
  kid          text primary key,
  public_key   bytea not null check (octet_length(public_key) = 32),
  confirmed_at timestamptz not null default now()
);

grant select, insert, update, delete on token_keys to parley_chat;
grant select (kid, public_key) on token_keys to parley_ws;

---- create above / drop below ----

drop table token_keys;
