create table users (
  id            uuid primary key,
  username      text not null check (char_length(username) between 3 and 50),
  email         text not null,
  password_hash text not null,
  display_name  text not null default '',
  bio           text not null default '',
  avatar_url    text not null default '',
  created_at    timestamptz not null default now(),
  updated_at    timestamptz not null default now(),
  deleted_at    timestamptz
);
create unique index users_username_key on users (lower(username));
create unique index users_email_key on users (lower(email));

-- One row per session. All refresh tokens of a session form a family: they are revoked together.
create table sessions (
  id           uuid primary key,
  user_id      uuid not null references users on delete cascade,
  user_agent   text not null default '',
  address      text not null default '',
  created_at   timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  expires_at   timestamptz not null,
  revoked_at   timestamptz
);
create index sessions_user_id_idx on sessions (user_id, created_at desc);

-- The SHA-256 hashes of all refresh tokens that a session has ever had. Rotating a token sets
-- used_at. If a rotated token is used again, it was probably stolen, so the session is revoked.
create table refresh_tokens (
  token_hash bytea primary key,
  session_id uuid not null references sessions on delete cascade,
  issued_at  timestamptz not null default now(),
  used_at    timestamptz
);
create index refresh_tokens_session_id_idx on refresh_tokens (session_id);

grant select, insert, update, delete on users, sessions, refresh_tokens to parley_chat;
grant select (id, username, display_name, deleted_at) on users to parley_ws;

---- create above / drop below ----

drop table refresh_tokens;
drop table sessions;
drop table users;
