-- Whether the user is an operator, who may inspect the pipeline (set by chat-service operator grant
-- NAME). An operator has no additional rights in channels.
alter table users add column operator boolean not null default false;

---- create above / drop below ----

alter table users drop column operator;
