-- A group's channels are hidden from users outside the group. Gateways must apply the same rule as
-- the REST API, so they need to read the members of groups.
grant select (group_id, user_id) on group_members to parley_ws;

---- create above / drop below ----

revoke select (group_id, user_id) on group_members from parley_ws;
