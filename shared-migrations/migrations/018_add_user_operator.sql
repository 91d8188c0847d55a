-- Who may look at the pipeline: chat-service operator grant NAME. It says nothing about channels.
alter table users add column operator boolean not null default false;

---- create above / drop below ----

alter table users drop column operator;
