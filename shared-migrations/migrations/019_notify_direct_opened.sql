-- Notifies chat-service, on commit, of outbox rows that other services have written. These are the
-- rows that open_direct_channel writes for ws-server; chat-service knows about its own rows. The
-- notification is only a hint, because chat-service also polls.
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
