-- True if the user is an operator (set by chat-service operator grant NAME). Operators may inspect
-- the pipeline, but have no additional rights in channels.
alter table users add column operator boolean not null default false;

---- create above / drop below ----

alter table users drop column operator;
