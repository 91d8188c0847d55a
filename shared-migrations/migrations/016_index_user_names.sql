---- tern: disable-tx ----
-- For finding users by a prefix of their name. The operator class makes this independent of the
-- database's collation.
create index concurrently users_username_prefix_idx on users (lower(username) text_pattern_ops) where deleted_at is null;
create index concurrently users_display_name_prefix_idx on users (lower(display_name) text_pattern_ops) where deleted_at is null;

---- create above / drop below ----
---- tern: disable-tx ----
drop index concurrently users_display_name_prefix_idx;
drop index concurrently users_username_prefix_idx;
