-- Invitations to a channel or a group that have not been accepted. A declined invitation is kept
-- for some time, so that the user cannot be invited again immediately.
create table invitations (
  id          uuid primary key,
  channel_id  uuid references channels on delete cascade,
  group_id    uuid references groups on delete cascade,
  user_id     uuid not null references users on delete cascade,
  invited_by  uuid not null references users on delete cascade,
  role        text not null default 'member' check (role in ('owner', 'admin', 'member')),
  created_at  timestamptz not null default now(),
  declined_at timestamptz,
  check ((channel_id is null) <> (group_id is null)),
  constraint invitations_channel_key unique (channel_id, user_id),
  constraint invitations_group_key unique (group_id, user_id)
);
create index invitations_user_id_idx on invitations (user_id, id) where declined_at is null;
create index invitations_invited_by_idx on invitations (invited_by);

grant select, insert, update, delete on invitations to parley_chat;

---- create above / drop below ----

drop table invitations;
