-- return.lua: gives one token of a limit back that take.lua has taken. Atomic.
--
-- KEYS[1] the time in ms at which the limit is whole again   ARGV[1] ms in which one token refills
-- Returns 1. It does nothing when the limit is whole.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local whole = (tonumber(redis.call('GET', KEYS[1])) or 0) - tonumber(ARGV[1])
if whole <= now then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('%.3f', whole), 'PX', math.ceil(whole - now))
end
return 1
