create table channels (
  id          uuid primary key default gen_random_uuid(),
  kind        text not null check (kind in ('public', 'unlisted', 'private', 'direct')),
  name        text not null default '',
  description text not null default '',
  group_id    uuid references groups on delete cascade,
  -- The two users of a direct channel. direct_low is the smaller id, so that each pair of users has
  -- only one channel.
  direct_low  uuid,
  direct_high uuid,
  created_by  uuid references users on delete set null,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  deleted_at  timestamptz,
  check ((kind = 'direct') = (direct_low is not null and direct_high is not null)),
  check (direct_low < direct_high),
  check (kind = 'direct' or name <> '')
);
create unique index channels_public_name_key on channels (lower(name))
  where kind = 'public' and group_id is null and deleted_at is null;
create unique index channels_group_name_key on channels (group_id, lower(name))
  where group_id is not null and deleted_at is null;
create unique index channels_direct_key on channels (direct_low, direct_high) where kind = 'direct';

-- joined_seq is the channel's last seq at the time when the member joined. Earlier messages do not
-- count as unread.
create table channel_members (
  channel_id         uuid not null references channels on delete cascade,
  user_id            uuid not null references users on delete cascade,
  role               text not null default 'member' check (role in ('owner', 'admin', 'member')),
  joined_at          timestamptz not null default now(),
  joined_seq         bigint not null default 0,
  last_delivered_seq bigint not null default 0,
  last_read_seq      bigint not null default 0,
  primary key (channel_id, user_id)
);
create index channel_members_user_id_idx on channel_members (user_id);

grant select, insert, update, delete on channels, channel_members to parley_chat;
grant select on channels, channel_members to parley_ws, parley_sync;
grant update (last_delivered_seq, last_read_seq) on channel_members to parley_sync;

---- create above / drop below ----

drop table channel_members;
drop table channels;
