-- seed.lua: creates the counter of a channel that has none, and returns the channel's counter.
--
-- KEYS[1] counter (hash seq, epoch)
-- ARGV[1] the highest known seq of the channel   ARGV[2] the number of the newest known epoch, or 0
-- ARGV[3] a random string
-- Returns { seq, epoch }. An existing counter is left unchanged, no matter which process created it.
local head = redis.call('HMGET', KEYS[1], 'seq', 'epoch')
if head[1] and head[2] then
  return head
end
local now = redis.call('TIME')
local n = math.max(now[1] * 1000 + math.floor(now[2] / 1000), ARGV[2] + 1)
local epoch = string.format('%.0f-%s', n, ARGV[3])
redis.call('HSET', KEYS[1], 'seq', ARGV[1], 'epoch', epoch)
return { ARGV[1], epoch }
