-- settle.lua: cuts tails to their newest items, and lets those expire of which every item is stored.
-- Only an item that is stored and acknowledged is cut: its entry id is at or below the watermark, and
-- delivered, and not pending. An item that cannot be read counts as not stored.
-- KEYS[1] stream   parley:{P}:stream    KEYS[2..] tails   parley:{P}:tail:<channel>
-- ARGV[1] group    ARGV[2] watermark    ARGV[3] items to keep    ARGV[4] expiry, ms
-- returns per tail 1 when all of it is stored, else 0: ask again
local group = group_of(KEYS[1], ARGV[1])
local keep = tonumber(ARGV[3])

local function stored(item)
  local entry = item and string.match(item, '^1 %S+ %d+ (%d+-%d+) %S+ %S+\n')
  return entry and group and not less(ARGV[2], entry) and not less(group.delivered, entry)
    and not (group.lowest and not less(entry, group.lowest))
end

local answers = {}
for k = 2, #KEYS do
  local tail = KEYS[k]
  local length = redis.call('LLEN', tail)
  -- Items are in the order of their entries: find how many of the oldest are stored, up to all but keep.
  local low, high = 0, math.max(length - keep, 0)
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if stored(redis.call('LINDEX', tail, middle - 1)) then low = middle else high = middle - 1 end
  end
  if low > 0 then redis.call('LTRIM', tail, low, -1) end
  if length == 0 then
    answers[#answers + 1] = 1
  elseif stored(redis.call('LINDEX', tail, -1)) then
    redis.call('PEXPIRE', tail, ARGV[4])
    answers[#answers + 1] = (length - low <= keep) and 1 or 0
  else
    answers[#answers + 1] = 0
  end
end
return answers
