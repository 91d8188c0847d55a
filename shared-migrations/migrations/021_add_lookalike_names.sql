-- Look-alike key: names that look alike have the same key, and the key must be unique. chat-service
-- derives the key from the name (package internal/platform/names). The key is null for names from
-- an earlier release until chat-service has processed them. If existing names look alike, the
-- oldest one gets the key. The others get the key followed by their own id, so that they stay
-- valid.
alter table users add column lookalike text;
alter table channels add column lookalike text;

---- create above / drop below ----

alter table channels drop column lookalike;
alter table users drop column lookalike;
