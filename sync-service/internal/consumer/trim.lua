-- trim.lua: removes from a stream what is stored and older than the retention. It computes the bound and
-- applies it in one step, since XTRIM removes pending and undelivered entries without a word: the bound
-- is the lowest of the watermark, the last delivered id, the lowest pending id and the retention's. It
-- never goes by length.
-- KEYS[1] stream   parley:{P}:stream
-- ARGV[1] group    ARGV[2] watermark    ARGV[3] retention, ms    ARGV[4] most entries to remove
-- returns how many were removed
local group = group_of(KEYS[1], ARGV[1])
if not group then return 0 end
local now = redis.call('TIME')
local cutoff = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000) - tonumber(ARGV[3])
-- A memory budget would raise the cutoff here: stored entries may go before their age, unstored never.
local bound = string.format('%.0f-0', math.max(cutoff, 0))
if less(ARGV[2], bound) then bound = ARGV[2] end
if less(group.delivered, bound) then bound = group.delivered end
if group.lowest and less(group.lowest, bound) then bound = group.lowest end
return redis.call('XTRIM', KEYS[1], 'MINID', '~', bound, 'LIMIT', ARGV[4])
