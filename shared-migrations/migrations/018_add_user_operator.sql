-- Whether the user may inspect the pipeline (chat-service operator grant NAME). It grants no rights
-- in channels.
alter table users add column operator boolean not null default false;

---- create above / drop below ----

alter table users drop column operator;
