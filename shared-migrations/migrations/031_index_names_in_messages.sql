---- tern: disable-tx ----
-- The rows that name a user, so that the names of a deleted account are found without a read of the whole
-- log. A row leaves its index when its name is taken out.
create index concurrently messages_sender_name_idx on messages (sender_id) where data ->> 'sender_name' is not null;
create index concurrently messages_member_name_idx on messages (target) where data ->> 'username' is not null;

---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently messages_member_name_idx;
drop index concurrently messages_sender_name_idx;
