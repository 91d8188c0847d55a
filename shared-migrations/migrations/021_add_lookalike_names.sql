-- The key by which names are compared, so that no two names look alike. chat-service derives it
-- from the name (package internal/platform/names). It is null for names written by an earlier
-- release, until chat-service has processed them. Among existing names that look alike, the oldest
-- gets the key, and the others get the key with their own id appended, so that all of them stay
-- valid.
alter table users add column lookalike text;
alter table channels add column lookalike text;

---- create above / drop below ----

alter table channels drop column lookalike;
alter table users drop column lookalike;
