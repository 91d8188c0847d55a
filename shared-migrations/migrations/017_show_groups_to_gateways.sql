-- A group's channel is hidden from users outside the group. A gateway must give the same answers as
-- the REST service, so it needs to know the members of a group.
grant select (group_id, user_id) on group_members to parley_ws;

---- create above / drop below ----

revoke select (group_id, user_id) on group_members from parley_ws;
