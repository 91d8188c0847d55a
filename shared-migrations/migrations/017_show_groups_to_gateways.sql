-- A group's channel is hidden from who is not in the group: a gateway answers like the REST service, and
-- has to know.
grant select (group_id, user_id) on group_members to parley_ws;

---- create above / drop below ----

revoke select (group_id, user_id) on group_members from parley_ws;
