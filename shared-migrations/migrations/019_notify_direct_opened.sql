-- Tells chat-service of the rows that are not its own, those of open_direct_channel for ws-server, as they
-- commit: the rest of the outbox its writers say themselves. It is a hint: who misses it polls.
create function notify_outbox() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_notify('outbox', '');
  return null;
end
$$;

revoke execute on function notify_outbox() from public;

create trigger outbox_notify after insert on outbox
  for each row when (new.kind = 'direct_opened') execute function notify_outbox();

---- create above / drop below ----

drop trigger outbox_notify on outbox;
drop function notify_outbox();
