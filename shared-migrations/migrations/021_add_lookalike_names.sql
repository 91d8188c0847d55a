-- The look-alike key of a name. Names that look alike have the same key. Because the key must be
-- unique, a new name that looks like an existing one is refused. chat-service derives the key from
-- the name (package internal/platform/names). The key is null for names from an earlier release
-- until chat-service has processed them. If existing names look alike, the oldest one gets the key.
-- Each of the others gets the key followed by its own id, and so remains valid.
alter table users add column lookalike text;
alter table channels add column lookalike text;

---- create above / drop below ----

alter table channels drop column lookalike;
alter table users drop column lookalike;
