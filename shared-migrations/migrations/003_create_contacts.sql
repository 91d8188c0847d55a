-- Contacts. state is user_id's view of contact_id: requested, accepted or blocked. Each direction
-- has its own row, so the other user cannot remove a block.
create table contacts (
  user_id    uuid not null references users on delete cascade,
  contact_id uuid not null references users on delete cascade,
  state      text not null check (state in ('requested', 'accepted', 'blocked')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, contact_id),
  check (user_id <> contact_id)
);
create index contacts_contact_id_idx on contacts (contact_id, state);

grant select, insert, update, delete on contacts to parley_chat;

---- create above / drop below ----

drop table contacts;
