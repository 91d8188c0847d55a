-- raise.lua: raises the counter of a channel to what is known of it, in a new epoch. It never lowers one:
-- a counter that is not below stays as it is, its epoch too.
-- KEYS[1] counter (hash seq, epoch)   parley:{P}:seq:<channel>
-- ARGV[1] the highest seq known    ARGV[2] the number of the newest epoch known, or 0
-- ARGV[3] a random word            ARGV[4] '1' to change nothing
-- returns { seq it had or -1, seq it has }
local head = redis.call('HMGET', KEYS[1], 'seq', 'epoch')
local seq = tonumber(head[1] or '') or -1
if seq >= tonumber(ARGV[1]) then return { seq, seq } end
if ARGV[4] ~= '1' then
  local known = tonumber(string.match(head[2] or '', '^(%d+)-') or '0')
  local now = redis.call('TIME')
  local n = math.max(now[1] * 1000 + math.floor(now[2] / 1000), known + 1, ARGV[2] + 1)
  redis.call('HSET', KEYS[1], 'seq', ARGV[1], 'epoch', string.format('%.0f-%s', n, ARGV[3]))
end
return { seq, tonumber(ARGV[1]) }
