---- tern: disable-tx ----
-- Indexes for finding the rows that contain the name of a deleted account without reading the whole
-- log. When the name is removed from a row, the row is no longer in the index.
create index concurrently messages_sender_name_idx on messages (sender_id) where data ->> 'sender_name' is not null;
create index concurrently messages_member_name_idx on messages (target) where data ->> 'username' is not null;

---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently messages_member_name_idx;
drop index concurrently messages_sender_name_idx;
