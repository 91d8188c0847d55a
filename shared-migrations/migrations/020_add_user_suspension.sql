-- Suspended users may not log in (set by chat-service user suspend NAME). Only administrators can
-- see the reason.
alter table users
  add column suspended_at timestamptz,
  add column suspension_reason text not null default '' check (char_length(suspension_reason) <= 500);

---- create above / drop below ----

alter table users
  drop column suspension_reason,
  drop column suspended_at;
