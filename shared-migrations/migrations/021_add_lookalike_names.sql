-- The key by which names are compared, so that no two names look alike. chat-service derives it
-- from the name (package internal/names). It is null for a name that an earlier release wrote,
-- until chat-service has processed it. Among existing names that look alike, the oldest gets the
-- key; the others get the key with their own id appended, so that all of them stay valid.
alter table users add column lookalike text;
alter table channels add column lookalike text;

---- create above / drop below ----

alter table channels drop column lookalike;
alter table users drop column lookalike;
