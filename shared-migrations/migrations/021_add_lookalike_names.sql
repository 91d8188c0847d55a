-- What names are compared by, so that no two look alike: chat-service makes it of the name (package internal/platform/names). Null
-- for a name that an earlier release wrote, until chat-service has gone over it. Of names that looked alike before,
-- the oldest has the key, and the others have it with their own id behind it, so that all of them stay.
alter table users add column lookalike text;
alter table channels add column lookalike text;

---- create above / drop below ----

alter table channels drop column lookalike;
alter table users drop column lookalike;
