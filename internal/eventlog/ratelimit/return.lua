-- return.lua: gives back one token that take.lua took from a limit.
--
-- KEYS[1] the time in ms at which the limit is full again
-- ARGV[1] the time in ms that it takes to refill one token
-- Returns 1. It changes nothing if the limit is full.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local whole = (tonumber(redis.call('GET', KEYS[1])) or 0) - tonumber(ARGV[1])
if whole <= now then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('%.3f', whole), 'PX', math.ceil(whole - now))
end
return 1
