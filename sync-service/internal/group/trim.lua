-- trim.lua: trims the stored entries that are older than the retention from a stream, oldest first.
-- While Redis uses more memory than the budget, it trims stored entries of any age.
--
-- XTRIM silently removes pending and undelivered entries too, so the script computes the bound (the
-- id below which entries may be removed) and applies it in one atomic step. The bound is the lowest
-- of the watermark, the last delivered id, the lowest pending id and the start of the retention. It
-- never depends on the length of the stream.
-- KEYS[1] stream   parley:{P}:stream, parley:{P}:receipts
-- ARGV[1] group    ARGV[2] watermark    ARGV[3] retention, ms    ARGV[4] maximum number of entries to remove
-- ARGV[5] share of maxmemory (0 to 1) above which the retention is ignored; 1 or no maxmemory: never
-- ARGV[6] '1' for a dry run
-- returns { entries removed, 1 if memory was over the budget else 0, the bound, 1 if there may be more }
--
-- Redis removes whole nodes of a stream cheaply ('~'). At most the beginning of one node remains,
-- and the last call removes it entry by entry ('='). Without that step, a quiet stream would keep
-- its last entries forever.
local group = group_of(KEYS[1], ARGV[1])
if not group then return { 0, 0, '0-0', 0 } end
local over, limit = 0, tonumber(ARGV[4])
if tonumber(ARGV[5]) < 1 then
  local info = redis.call('INFO', 'memory')
  local used = tonumber(string.match(info, '\nused_memory:(%d+)'))
  local maxmemory = tonumber(string.match(info, '\nmaxmemory:(%d+)'))
  if maxmemory > 0 and used > maxmemory * tonumber(ARGV[5]) then over = 1 end
end
local now = redis.call('TIME')
local cutoff = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000) - tonumber(ARGV[3])
local bound = string.format('%.0f-0', math.max(cutoff, 0))
if over == 1 then
  bound, limit = ARGV[2], math.min(limit, 1000) -- small steps, to avoid removing more than the budget requires
end
if less(ARGV[2], bound) then bound = ARGV[2] end
if less(group.delivered, bound) then bound = group.delivered end
if group.lowest and less(group.lowest, bound) then bound = group.lowest end
if ARGV[6] == '1' then return { 0, over, bound, 0 } end
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', bound, 'LIMIT', limit)
if removed > 0 then return { removed, over, bound, 1 } end
return { redis.call('XTRIM', KEYS[1], 'MINID', '=', bound), over, bound, 0 }
