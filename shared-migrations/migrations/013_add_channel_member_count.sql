-- The number of members in a channel, maintained by triggers on channel_members. Channel lists show
-- this number, and counting the members of large channels for each list would be expensive. Each
-- change to a channel's members updates the channel's row, so two transactions that change members
-- of the same channel run one after the other. The order of the channel's outbox rows requires this
-- anyway.
alter table channels add column member_count integer not null default 0 check (member_count >= 0);

create function count_channel_members() returns trigger
language plpgsql set search_path = public, pg_temp as $$
begin
  -- Lock in a fixed order, so that two statements about several channels do not deadlock.
  perform from channels where id in (select channel_id from changed) order by id for no key update;
  update channels c set member_count = c.member_count + case tg_op when 'INSERT' then k.n else -k.n end
    from (select channel_id, count(*) as n from changed group by channel_id) k
    where c.id = k.channel_id;
  return null;
end
$$;

create trigger channel_members_came after insert on channel_members
  referencing new table as changed for each statement execute function count_channel_members();
create trigger channel_members_went after delete on channel_members
  referencing old table as changed for each statement execute function count_channel_members();

update channels c set member_count = (select count(*) from channel_members m where m.channel_id = c.id);

---- create above / drop below ----

drop trigger channel_members_went on channel_members;
drop trigger channel_members_came on channel_members;
drop function count_channel_members();
alter table channels drop column member_count;
