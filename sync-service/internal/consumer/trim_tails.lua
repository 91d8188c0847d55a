-- trim_tails.lua: trims tails to their newest items and removes stored items that are older than
-- the expiry. If all items of a tail are stored, the whole tail gets an expiry. So no stored item
-- stays longer than twice the expiry.
--
-- Only stored and acknowledged items are removed: an item's entry must be at or below the
-- watermark, have been delivered to the group, and not be pending. An item that cannot be parsed
-- counts as not stored.
-- KEYS[1] stream   parley:{P}:stream    KEYS[2..] tails   parley:{P}:tail:<channel>
-- ARGV[1] group    ARGV[2] watermark    ARGV[3] items to keep    ARGV[4] expiry, ms
-- returns, per tail, 1 if all its items are stored, else 0 (the caller must call again later)
local group = group_of(KEYS[1], ARGV[1])
local keep = tonumber(ARGV[3])
local now = redis.call('TIME')
local old = now[1] * 1000 + math.floor(now[2] / 1000) - ARGV[4] -- entries up to this time have expired

local function entry_of(item)
  return item and string.match(item, '^1 %S+ %d+ (%d+-%d+) %S+ %S+\n')
end

local function stored(item)
  local entry = entry_of(item)
  return entry and group and not less(ARGV[2], entry) and not less(group.delivered, entry)
    and not (group.lowest and not less(entry, group.lowest))
end

local function expired(item)
  return stored(item) and tonumber(string.match(entry_of(item), '^%d+')) <= old
end

-- oldest counts the oldest items in the tail that satisfy the predicate `is`. The count starts at
-- low (the first low items are known to satisfy it) and is limited to high. The items are sorted by
-- entry id, so oldest uses binary search.
local function oldest(tail, low, high, is)
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if is(redis.call('LINDEX', tail, middle - 1)) then low = middle else high = middle - 1 end
  end
  return low
end

local answers = {}
for k = 2, #KEYS do
  local tail = KEYS[k]
  local length = redis.call('LLEN', tail)
  local low = oldest(tail, 0, math.max(length - keep, 0), stored)
  if expired(redis.call('LINDEX', tail, low)) then low = oldest(tail, low, length, expired) end
  if low > 0 then redis.call('LTRIM', tail, low, -1) end
  if length == low then
    answers[#answers + 1] = 1
  elseif stored(redis.call('LINDEX', tail, -1)) then
    redis.call('PEXPIRE', tail, ARGV[4])
    answers[#answers + 1] = (length - low <= keep) and 1 or 0
  else
    answers[#answers + 1] = 0
  end
end
return answers
