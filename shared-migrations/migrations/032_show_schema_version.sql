-- Lets each service compare the database's schema version with the version that it requires.
grant select on public.parley_schema_version to parley_chat, parley_ws, parley_sync;

---- create above / drop below ----

revoke select on public.parley_schema_version from parley_chat, parley_ws, parley_sync;
