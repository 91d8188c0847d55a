-- A channel is archived when its last member leaves: users can no longer find or join it, and its
-- name becomes available again. Its history is kept, and an operator can restore the channel
-- (chat-service channel restore). The triggers that count members archive it, regardless of how the
-- member leaves. A direct channel is never archived.
alter table channels add column archived_at timestamptz;

create or replace function count_channel_members() returns trigger
language plpgsql set search_path = public, pg_temp as $$
begin
  -- Lock in a fixed order, so that two statements about several channels do not deadlock.
  perform from channels where id in (select channel_id from changed) order by id for no key update;
  update channels c set member_count = c.member_count + k.n,
      archived_at = case when c.kind = 'direct' or c.member_count + k.n > 0 then null else coalesce(c.archived_at, now()) end
    from (select channel_id, case tg_op when 'INSERT' then count(*) else -count(*) end as n from changed group by channel_id) k
    where c.id = k.channel_id;
  return null;
end
$$;

update channels set archived_at = now() where kind <> 'direct' and member_count = 0 and deleted_at is null;

drop index channels_public_name_key;
create unique index channels_public_name_key on channels (lower(name))
  where kind = 'public' and group_id is null and deleted_at is null and archived_at is null;
drop index channels_group_name_key;
create unique index channels_group_name_key on channels (group_id, lower(name))
  where group_id is not null and deleted_at is null and archived_at is null;
drop index channels_public_lookalike_key;
create unique index channels_public_lookalike_key on channels (lookalike)
  where kind = 'public' and group_id is null and deleted_at is null and archived_at is null;
drop index channels_group_lookalike_key;
create unique index channels_group_lookalike_key on channels (group_id, lookalike)
  where group_id is not null and deleted_at is null and archived_at is null;

---- create above / drop below ----

-- Delete the archived channels. The previous release does not recognize archived channels, and a
-- user who joined one would become its owner.
update channels set deleted_at = archived_at where archived_at is not null and deleted_at is null;
drop index channels_public_lookalike_key;
create unique index channels_public_lookalike_key on channels (lookalike)
  where kind = 'public' and group_id is null and deleted_at is null;
drop index channels_group_lookalike_key;
create unique index channels_group_lookalike_key on channels (group_id, lookalike)
  where group_id is not null and deleted_at is null;
drop index channels_group_name_key;
create unique index channels_group_name_key on channels (group_id, lower(name))
  where group_id is not null and deleted_at is null;
drop index channels_public_name_key;
create unique index channels_public_name_key on channels (lower(name))
  where kind = 'public' and group_id is null and deleted_at is null;

create or replace function count_channel_members() returns trigger
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

alter table channels drop column archived_at;
