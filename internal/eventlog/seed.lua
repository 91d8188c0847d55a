-- seed.lua: makes the counter of a channel that has none, and returns what is there then.
--
-- KEYS[1] counter (hash seq, epoch)
-- ARGV[1] the highest seq known of the channel   ARGV[2] the number of the newest epoch known, or 0
-- ARGV[3] a random word
-- Returns { seq, epoch }. A counter that is there, from whomever, is left as it is.
local head = redis.call('HMGET', KEYS[1], 'seq', 'epoch')
if head[1] and head[2] then
  return head
end
local now = redis.call('TIME')
local n = math.max(now[1] * 1000 + math.floor(now[2] / 1000), ARGV[2] + 1)
local epoch = string.format('%.0f-%s', n, ARGV[3])
redis.call('HSET', KEYS[1], 'seq', ARGV[1], 'epoch', epoch)
return { ARGV[1], epoch }
