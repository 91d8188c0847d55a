-- check.lua: returns a group's entries-read and the value that it should have. The script changes
-- nothing.
-- KEYS[1] stream   KEYS[2] mirror, absent for a receipts stream   ARGV[1] group
-- returns { entries-read, correct value }, each -1 if unknown, or {} if the stream or the group
-- does not exist
local group = group_of(KEYS[1], ARGV[1])
if not group then return {} end
return { group.read or -1, correct_read(KEYS[1], group, KEYS[2]) or -1 }
