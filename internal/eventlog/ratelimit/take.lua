-- take.lua: takes one token from a limit that refills evenly (the generic cell rate algorithm,
-- GCRA).
--
-- KEYS[1] the time in ms at which the limit is full again
-- ARGV[1] number of tokens of a full limit
-- ARGV[2] the time in ms that it takes to refill an empty limit completely
-- Returns { granted, left, reset, retry }: 1 if a token was granted or else 0, the number of tokens
-- left, the ms until the limit is full again, and, if no token was granted, the ms until one is
-- available. A refusal changes nothing.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local each = window / count
local whole = math.max(now, tonumber(redis.call('GET', KEYS[1])) or 0)
local used = whole + each - now
if used > window + 0.001 then
  return { 0, 0, math.ceil(whole - now), math.max(1, math.ceil(used - window)) }
end
redis.call('SET', KEYS[1], string.format('%.3f', now + used), 'PX', math.ceil(used))
return { 1, math.floor((window - used) / each + 0.001), math.ceil(used), 0 }
