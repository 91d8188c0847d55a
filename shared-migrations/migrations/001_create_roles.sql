-- Creates one role per service. Later migrations grant each role only the rights that its service
-- needs. The roles cannot log in: a service connects with its own login and sets the runtime
-- parameter `role`. Roles belong to the whole server, so the migrations of another database may
-- already have created them, or may be creating them concurrently.
do $$
declare
  name text;
begin
  foreach name in array array['parley_chat', 'parley_ws', 'parley_sync'] loop
    begin
      execute format('create role %I nologin', name);
    exception when duplicate_object or unique_violation then
      null;
    end;
    -- Allow the migrating login to assume each of the roles. A superuser may do so anyway.
    if not pg_has_role(current_user, name, 'member') then
      execute format('grant %I to current_user', name);
    end if;
  end loop;
end
$$;

---- create above / drop below ----

-- Nothing is dropped, because other databases on this server may use the roles.
select 1;
