-- Notifies chat-service, on commit, about outbox rows that open_direct_channel has inserted for
-- ws-server. chat-service needs no notification for its own rows. Notifications are only hints,
-- because chat-service also polls the outbox.
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
