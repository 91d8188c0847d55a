-- reap.lua: removes idle consumers. Removing a consumer discards its pending entries, so the script
-- removes only consumers that have none. The check and the removal are one atomic step.
-- KEYS[1] stream   parley:{P}:stream, parley:{P}:receipts
-- ARGV[1] group    ARGV[2] a consumer to keep    ARGV[3] minimum idle time, ms
-- returns the names of the removed consumers
if not group_of(KEYS[1], ARGV[1]) then return {} end
local removed = {}
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #flat, 2 do consumer[flat[i]] = flat[i + 1] end
  if consumer['pending'] == 0 and consumer['idle'] >= tonumber(ARGV[3]) and consumer['name'] ~= ARGV[2] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer['name'])
    removed[#removed + 1] = consumer['name']
  end
end
return removed
