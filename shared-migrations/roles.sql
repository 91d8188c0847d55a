-- The roles of the services, as the first migration creates them. A dump of a database does not
-- contain them.
do $$
declare
  name text;
begin
  foreach name in array array['parley_chat', 'parley_ws', 'parley_sync'] loop
    if not exists (select from pg_roles where rolname = name) then
      begin
        execute format('create role %I nologin', name);
      exception when duplicate_object or unique_violation then
        null; -- another database of this server has created it at the same time
      end;
    end if;
    if not pg_has_role(current_user, name, 'member') then
      execute format('grant %I to current_user', name);
    end if;
  end loop;
end
$$;
