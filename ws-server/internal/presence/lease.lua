-- lease.lua: renews a gateway's lease, and tells which gateways are alive and which this one must
-- clear away. Times are Redis' own. Atomic.
-- KEYS[1] parley:gateways: gateway id -> end of its lease in ms; a condemned one -> minus when it was
-- ARGV[1] the gateway's id   ARGV[2] length of a lease, ms   ARGV[3] 'new', 'renew' or 'leave'
-- ARGV[4] how long clearing away may take before another gateway does it again, ms
--
-- Returns { now, "1" or "0", ms until the next lease of another ends (-1: none), { ids to clear away } }.
-- "0": there is nothing to renew, the gateway was condemned or forgotten; it must take a new id.
--
-- A gateway whose lease has ended is condemned by the first that sees it: it cannot be renewed from then
-- on, so what it had may be removed without looking back. Who has just been away itself condemns nobody:
-- after an outage of Redis the others get the time to renew.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function ms(n) return string.format('%.0f', n) end

local score = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '')
if ARGV[3] == 'leave' then
  redis.call('ZADD', KEYS[1], ms(-now), ARGV[1])
  return { ms(now), '1', '-1', {} }
end
if ARGV[3] == 'renew' and (not score or score <= 0) then
  return { ms(now), '0', '-1', {} }
end
redis.call('ZADD', KEYS[1], ms(now + ARGV[2]), ARGV[1])

local dead = {}
if ARGV[3] == 'renew' and score > now then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(0', ms(now))) do
    redis.call('ZADD', KEYS[1], ms(-now), id)
    dead[#dead + 1] = id
  end
  -- Condemned before, and still here: who was to clear it away has died, too.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ms(-(now - ARGV[4])), '(0')) do
    redis.call('ZADD', KEYS[1], ms(-now), id)
    dead[#dead + 1] = id
  end
end
local ends = '-1'
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(0', '+inf', 'LIMIT', 0, 2)) do
  if id ~= ARGV[1] and ends == '-1' then
    ends = ms(math.max(0, redis.call('ZSCORE', KEYS[1], id) - now))
  end
end
return { ms(now), '1', ends, dead }
