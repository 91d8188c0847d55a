-- Returns the given ids that belong to no user. sync-service may not read the table users, but
-- after a restore its operator must be able to find the missing users.
create function unknown_users(ids uuid[]) returns setof uuid
language sql stable security definer set search_path = public, pg_temp
as $$ select i from unnest(ids) i where not exists (select from users u where u.id = i) $$;

revoke all on function unknown_users(uuid[]) from public;
grant execute on function unknown_users(uuid[]) to parley_sync;

---- create above / drop below ----

drop function unknown_users(uuid[]);
