-- Determines which members of a channel may mention all members with @channel.
alter table channels add column mention_all text not null default 'everyone' check (mention_all in ('everyone', 'admins'));

---- create above / drop below ----

alter table channels drop column mention_all;
