-- publish.lua: publishes an ephemeral item to a channel, unless the channel is large.
--  KEYS[1] topic   KEYS[2] the cached count, which exists only while the channel is large (count.lua)
--  ARGV[1] the item
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.pcall('SPUBLISH', KEYS[1], ARGV[1])
end
return 0
