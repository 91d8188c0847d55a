-- Gives gateways access to further data: which users have blocked each other, and whether the
-- member_joined event of a new member is still in the outbox. The functions run with the owner's
-- rights, because gateways may not read contacts.

-- Returns one row for each block in which a given user is involved. other_id is the user whom
-- user_id has blocked, or who has blocked user_id.
create function blocks_of(users uuid[]) returns table (user_id uuid, other_id uuid)
language sql stable security definer set search_path = public, pg_temp
as $$
  select k.user_id, k.contact_id from contacts k where k.user_id = any(users) and k.state = 'blocked'
  union
  select k.contact_id, k.user_id from contacts k where k.contact_id = any(users) and k.state = 'blocked'
$$;

revoke all on function blocks_of(uuid[]) from public;
grant execute on function blocks_of(uuid[]) to parley_chat, parley_ws;

-- Returns true if either of the two users has blocked the other.
create function blocked_between(one uuid, other uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp
as $$
  select exists (select from contacts k where k.state = 'blocked'
    and (k.user_id = one and k.contact_id = other or k.user_id = other and k.contact_id = one))
$$;

revoke all on function blocked_between(uuid, uuid) from public;
grant execute on function blocked_between(uuid, uuid) to parley_chat, parley_ws;

grant select (id, kind, channel_id, subject_id) on outbox to parley_ws;

---- create above / drop below ----

revoke select (id, kind, channel_id, subject_id) on outbox from parley_ws;
drop function blocked_between(uuid, uuid);
drop function blocks_of(uuid[]);
