-- limit.lua: takes one of the places of a window, which begins with the first that is taken. Atomic.
-- KEYS[1] counter    ARGV[1] places    ARGV[2] length of the window, ms
-- returns { 1 if there was a place, else 0; ms until the window ends }
local taken = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  left = tonumber(ARGV[2])
end
return { taken <= tonumber(ARGV[1]) and 1 or 0, left }
