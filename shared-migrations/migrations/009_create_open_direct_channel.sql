-- Finds or creates the direct channel of two users. ws-server may not change any data except by
-- calling this function. The function runs with the owner's rights, so the caller needs no rights
-- on the tables. It fails with SQLSTATE PA404 if either user is unknown or deleted, PA403 if either
-- has blocked the other, and PA400 if both are the same user.
create function open_direct_channel(from_user uuid, to_user uuid)
  returns table (channel_id uuid, created boolean)
  language plpgsql
  security definer
  set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
  low  uuid := least(from_user, to_user);
  high uuid := greatest(from_user, to_user);
  made uuid;
begin
  if from_user = to_user then
    raise exception 'a direct channel needs two users' using errcode = 'PA400';
  end if;
  if (select count(*) from users u where u.id in (from_user, to_user) and u.deleted_at is null) <> 2 then
    raise exception 'no such user' using errcode = 'PA404';
  end if;
  if exists (select 1 from contacts k where k.state = 'blocked'
             and ((k.user_id = from_user and k.contact_id = to_user)
               or (k.user_id = to_user and k.contact_id = from_user))) then
    raise exception 'one of the two has blocked the other' using errcode = 'PA403';
  end if;

  insert into channels (kind, direct_low, direct_high, created_by)
    values ('direct', low, high, from_user)
    on conflict (direct_low, direct_high) where kind = 'direct' do nothing
    returning id into made;
  if made is null then
    return query select c.id, false from channels c
      where c.kind = 'direct' and c.direct_low = low and c.direct_high = high;
    return;
  end if;
  insert into channel_members (channel_id, user_id) values (made, from_user), (made, to_user);
  insert into outbox (kind, channel_id, actor_id, payload)
    values ('direct_opened', made, from_user, jsonb_build_object('user_ids', jsonb_build_array(low, high)));
  return query select made, true;
end
$$;

revoke execute on function open_direct_channel(uuid, uuid) from public;
grant execute on function open_direct_channel(uuid, uuid) to parley_ws, parley_chat;

---- create above / drop below ----

drop function open_direct_channel(uuid, uuid);
