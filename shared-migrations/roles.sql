-- Creates the services' roles if they do not exist, as the first migration does. Database dumps do
-- not contain roles.
do $$
declare
  name text;
begin
  foreach name in array array['parley_chat', 'parley_ws', 'parley_sync'] loop
    if not exists (select from pg_roles where rolname = name) then
      begin
        execute format('create role %I nologin', name);
      exception when duplicate_object or unique_violation then
        null; -- it was created for another database on this server at the same time
      end;
    end if;
    if not pg_has_role(current_user, name, 'member') then
      execute format('grant %I to current_user', name);
    end if;
  end loop;
end
$$;
