-- online.lua: returns the users who are online in a channel. count.lua is prepended.
--  KEYS[1] the channel's cached count   KEYS[2…] the online sets of the live gateways
--  ARGV[1] digest of the live gateways
-- Returns { users online, { their ids; none if there are more than LARGE users } }.
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
