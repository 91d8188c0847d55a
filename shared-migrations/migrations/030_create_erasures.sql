-- Users whose accounts were deleted. Once a row exists here, readers of the event log omit the
-- user's name. Later, sync-service removes the name from the log's rows and sets scrubbed_at.
create table erasures (
  user_id     uuid primary key references users on delete cascade,
  erased_at   timestamptz not null default now(),
  scrubbed_at timestamptz
);
create index erasures_erased_at_idx on erasures (erased_at);
create index erasures_waiting_idx on erasures (user_id) where scrubbed_at is null;

grant select, insert on erasures to parley_chat;
grant select on erasures to parley_ws;
grant select, update (scrubbed_at) on erasures to parley_sync;

-- A trigger records each account deletion, because chat-service in the previous release does not
-- record deletions here.
create function note_erasure() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
begin
  insert into erasures (user_id) values (new.id) on conflict do nothing;
  return null;
end
$$;

create trigger users_erased after update of deleted_at on users
  for each row when (new.deleted_at is not null and old.deleted_at is null) execute function note_erasure();

insert into erasures (user_id, erased_at) select id, deleted_at from users where deleted_at is not null;

-- Names of deleted accounts, which cannot be used again for some time. Each row contains a digest
-- of a name's look-alike key and a secret that only name_digest can read. So the table does not
-- reveal who had an account.
create table reserved_names (
  digest bytea primary key,
  until  timestamptz not null
);
create index reserved_names_until_idx on reserved_names (until);

grant select, insert, update, delete on reserved_names to parley_chat;

create table name_secret (secret bytea not null);
insert into name_secret select uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());

create function name_digest(lookalike text) returns bytea
language sql stable security definer set search_path = public, pg_temp
as $$ select sha256(secret || convert_to(lookalike, 'UTF8')) from name_secret $$;

revoke all on function name_digest(text) from public;
grant execute on function name_digest(text) to parley_chat;

---- create above / drop below ----

drop function name_digest(text);
drop table name_secret;
drop table reserved_names;
drop trigger users_erased on users;
drop function note_erasure();
drop table erasures;
