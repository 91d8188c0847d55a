-- Users who are banned from a channel. They cannot become members in any way until the ban is
-- lifted.
create table channel_bans (
  channel_id uuid not null references channels on delete cascade,
  user_id    uuid not null references users on delete cascade,
  banned_by  uuid references users on delete set null,
  created_at timestamptz not null default now(),
  primary key (channel_id, user_id)
);
create index channel_bans_user_id_idx on channel_bans (user_id);

grant select, insert, delete on channel_bans to parley_chat;

---- create above / drop below ----

drop table channel_bans;
