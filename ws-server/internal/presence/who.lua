-- who.lua: tells who is online in a channel. Behind count.lua.
-- KEYS[1] the channel's remembered count   KEYS[2…] the online sets of the gateways that are alive
-- ARGV[1] digest of those gateways
-- Returns { users online, { their ids; none if they are more than LARGE } }.
local sets, sum = {}, 0
for i = 2, #KEYS do
  local n = redis.call('SCARD', KEYS[i])
  if n > 0 then
    sets[#sets + 1], sum = KEYS[i], sum + n
  end
end
if sum == 0 then return { 0, {} } end
local n = count(KEYS[1], sets, sum, ARGV[1], 0)
if n > LARGE then return { n, {} } end
return { n, redis.call('SUNION', unpack(sets)) }
