-- replace.lua: replaces a dead letter. If it runs again, it changes nothing. The new dead letter
-- gets a new id, because stream entries cannot be changed.
-- KEYS[1] dead letters   parley:{P}:dead
-- ARGV[1] id of the dead letter to replace   ARGV[2..] names and values of the new fields
-- returns the new id, or '' if the dead letter no longer exists
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return '' end
return redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
