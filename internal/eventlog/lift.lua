-- lift.lua: makes a stream give ids above a watermark. A stream whose last id lies below it has lost
-- writes, or is a new one, on a Redis whose clock is behind: ids are compared with watermarks.
--
-- KEYS[1] stream   KEYS[2] mirror of the watermark (hash)   ARGV[1] the watermark
-- Returns { '1', the id that the stream gave last }, '0-0' for no stream, if it was lifted, else { '0', that id }.
-- The mirror gets the time of the loss, in ms, as "lost".
local function less(a, b)
  local ams, aseq = string.match(a, '^(%d+)-(%d+)$')
  local bms, bseq = string.match(b, '^(%d+)-(%d+)$')
  if tonumber(ams) ~= tonumber(bms) then return tonumber(ams) < tonumber(bms) end
  if #aseq ~= #bseq then return #aseq < #bseq end -- a sequence may not fit a double: it is compared as text
  return aseq < bseq
end

local last = '0-0'
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
if not less(last, ARGV[1]) then
  return { '0', last }
end
if last == '0-0' then -- XSETID needs a stream: this makes one that is empty
  redis.call('XADD', KEYS[1], 'MAXLEN', '=', 0, ARGV[1], 'lifted', '1')
else
  redis.call('XSETID', KEYS[1], ARGV[1])
end
local now = redis.call('TIME')
redis.call('HSET', KEYS[2], 'lost', string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)))
return { '1', last }
