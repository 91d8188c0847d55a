-- reserve.lua: grants a user's sends, up to a limit in any window of the given length.
--
-- KEYS[1] the user's sends (list of times in ms, newest last)   KEYS[2] the user's block
-- ARGV[1] number of waiting sends   ARGV[2] the limit   ARGV[3] the window in ms
-- Returns { granted, block, left, reset }: the number of granted sends, the ms until the user's
-- block ends (0: not blocked), the number of further sends that fit into the window, and the ms
-- until the window is empty or the block ends.
-- The script never starts a block. The caller does, when it knows that a refused send is not a
-- retry.
local left = redis.call('PTTL', KEYS[2])
if left > 0 then
  return { 0, left, 0, left }
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wanted, limit, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local times = redis.call('LRANGE', KEYS[1], 0, -1)
local used, newest = 0, now - window
for _, t in ipairs(times) do
  if now - t < window then used = used + 1; newest = t end
end
local granted = math.min(wanted, math.max(0, limit - used))
if granted > 0 then
  local stamps = {}
  for i = 1, granted do stamps[i] = string.format('%.0f', now) end
  redis.call('RPUSH', KEYS[1], unpack(stamps))
  redis.call('LTRIM', KEYS[1], -limit, -1)
  redis.call('PEXPIRE', KEYS[1], window)
end
if granted > 0 then newest = now end
return { granted, 0, math.max(0, limit - used - granted), math.max(0, newest + window - now) }
