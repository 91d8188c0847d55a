---- tern: disable-tx ----
-- Indexes for finding users by a prefix of their name. With this operator class, the indexes work
-- for any collation of the database.
create index concurrently users_username_prefix_idx on users (lower(username) text_pattern_ops) where deleted_at is null;
create index concurrently users_display_name_prefix_idx on users (lower(display_name) text_pattern_ops) where deleted_at is null;

---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently users_display_name_prefix_idx;
drop index concurrently users_username_prefix_idx;
