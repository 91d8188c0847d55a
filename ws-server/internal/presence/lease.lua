-- lease.lua: renews a gateway's lease and returns the dead gateways that the caller must clean up.
-- All times are Redis server times. The script is atomic.
--  KEYS[1] parley:gateways: gateway id -> end of its lease in ms; for a gateway that was declared
--    dead, the negated time in ms of the last declaration
--  ARGV[1] the gateway's id   ARGV[2] duration of a lease in ms   ARGV[3] 'new', 'renew' or 'leave'
--  ARGV[4] ms after which another gateway repeats an unfinished cleanup
--
-- Returns { now, "1" or "0", ms until the next lease of another gateway ends (-1: none),
--   { ids to clean up } }.
-- "0" means that there is no lease to renew, because the gateway was declared dead or removed. The
-- gateway must then take a new id.
--
-- A gateway whose lease has expired is declared dead by the first gateway that notices. It can no
-- longer renew that lease, so its sets can be removed safely. A gateway whose own lease had expired
-- does not declare others dead: after a Redis outage, this gives them time to renew their leases.
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
  -- These gateways were declared dead at least ARGV[4] ms ago and are still listed, so the gateways
  -- that were supposed to clean up after them have not finished.
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
