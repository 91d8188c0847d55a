-- check.lua: what entries-read of a group is, and what it should be. Changes nothing.
-- KEYS[1] stream   KEYS[2] mirror, or none   ARGV[1] group
-- returns { entries-read, what it should be }, -1 for not known, or {} when the stream or the group is gone
local group = group_of(KEYS[1], ARGV[1])
if not group then return {} end
return { group.read or -1, right_read(KEYS[1], group, KEYS[2]) or -1 }
