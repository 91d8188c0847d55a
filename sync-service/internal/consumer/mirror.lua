-- mirror.lua: updates the copy (mirror) of a partition's watermark in Redis, which gateways read.
-- The entry id never decreases. The number of entries may decrease, because Redis starts counting
-- again when the stream is created again or restored.
-- KEYS[1] mirror   parley:{P}:stored
-- ARGV[1] entry id    ARGV[2] number of entries added up to that id, or -1 if unknown
-- returns 1 if it updated the mirror
local entry = redis.call('HGET', KEYS[1], 'entry')
if entry and less(ARGV[1], entry) then return 0 end
redis.call('HSET', KEYS[1], 'entry', ARGV[1])
if tonumber(ARGV[2]) >= 0 then redis.call('HSET', KEYS[1], 'added', ARGV[2]) end
return 1
