-- replace.lua: puts a letter in the place of another, once however often it is asked for. The new letter gets a
-- new id: an entry of a stream cannot be changed.
-- KEYS[1] dead letters   parley:{P}:dead
-- ARGV[1] id of the letter to be replaced   ARGV[2..] names and values of the new one
-- returns the new id, or '' when the letter is not there any more
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return '' end
return redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
