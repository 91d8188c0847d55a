-- count.lua is prepended to change.lua and online.lua.
--
-- A channel is large when more than LARGE users are online in it. The count of a large channel is
-- cached, since the union of large sets is expensive. The hash `cache` holds the count ("n"), a
-- digest of the gateways that were counted ("live") and the time of the count ("at"). The hash
-- exists only while the channel is large.
local LARGE, CHEAP, TRUE_UP = 200, 1000, 600000

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

-- count returns the number of distinct users in sets. sets holds the keys of the sets that are not
-- empty, sum is the sum of their sizes, and delta is the change in the number of users since the
-- last count.
local function count(cache, sets, sum, live, delta)
  local n, fresh
  if #sets <= 1 then
    n = sum
  elseif sum <= CHEAP then
    n = #redis.call('SUNION', unpack(sets))
  else
    local known = redis.call('HMGET', cache, 'n', 'live', 'at')
    if known[1] and known[2] == live and known[3] and now - known[3] < TRUE_UP then
      n = known[1] + delta
    else
      n, fresh = #redis.call('SUNION', unpack(sets)), true
    end
  end
  if n <= LARGE then
    redis.call('DEL', cache)
    return n
  end
  redis.call('HSET', cache, 'n', n, 'live', live)
  if fresh then redis.call('HSET', cache, 'at', string.format('%.0f', now)) end
  redis.call('EXPIRE', cache, 86400)
  return n
end
