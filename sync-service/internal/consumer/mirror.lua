-- mirror.lua: keeps the mirror of a partition's watermark, which gateways read. It only raises.
-- KEYS[1] mirror   parley:{P}:stored
-- ARGV[1] entry id    ARGV[2] entries added up to it, -1 for unknown
-- returns 1 if it wrote
local entry = redis.call('HGET', KEYS[1], 'entry')
local added = tonumber(redis.call('HGET', KEYS[1], 'added') or '-1')
local wrote = 0
if not entry or less(entry, ARGV[1]) then
  redis.call('HSET', KEYS[1], 'entry', ARGV[1])
  wrote = 1
end
if tonumber(ARGV[2]) > added then
  redis.call('HSET', KEYS[1], 'added', ARGV[2])
  wrote = 1
end
return wrote
