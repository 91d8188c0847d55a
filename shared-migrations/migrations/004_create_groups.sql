create table groups (
  id          uuid primary key,
  name        text not null,
  description text not null default '',
  created_by  uuid references users on delete set null,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  deleted_at  timestamptz
);

create table group_members (
  group_id  uuid not null references groups on delete cascade,
  user_id   uuid not null references users on delete cascade,
  role      text not null default 'member' check (role in ('owner', 'admin', 'member')),
  joined_at timestamptz not null default now(),
  primary key (group_id, user_id)
);
create index group_members_user_id_idx on group_members (user_id);

grant select, insert, update, delete on groups, group_members to parley_chat;

---- create above / drop below ----

drop table group_members;
drop table groups;
