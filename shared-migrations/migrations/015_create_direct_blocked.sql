-- Returns true if one of the two users of a direct channel has blocked the other. In that case,
-- neither user may write to the channel. open_direct_channel applies the same rule to new channels.
-- The function returns false for a channel that is not direct. It runs with the owner's rights,
-- because ws-server may not read contacts.
create function direct_blocked(channel uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp
as $$
  select exists (
    select from channels c join contacts k on k.state = 'blocked'
      and ((k.user_id = c.direct_low and k.contact_id = c.direct_high)
        or (k.user_id = c.direct_high and k.contact_id = c.direct_low))
    where c.id = channel and c.kind = 'direct')
$$;

revoke all on function direct_blocked(uuid) from public;
grant execute on function direct_blocked(uuid) to parley_chat, parley_ws;

---- create above / drop below ----

drop function direct_blocked(uuid);
