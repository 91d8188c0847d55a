---- tern: disable-tx ----
-- The rows that contain a user's name, so that a deleted account's names can be found without
-- reading the whole log. A row leaves the index when its name is removed.
create index concurrently messages_sender_name_idx on messages (sender_id) where data ->> 'sender_name' is not null;
create index concurrently messages_member_name_idx on messages (target) where data ->> 'username' is not null;

---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently messages_member_name_idx;
drop index concurrently messages_sender_name_idx;
