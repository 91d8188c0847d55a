-- lift.lua: makes a stream generate ids above its watermark. Ids at or below the watermark count as
-- stored, so new entries must not get them. If a stream's last id is below the watermark, the
-- stream has lost writes, or it is new and the Redis server's clock is behind.
--
-- KEYS[1] stream   KEYS[2] copy of the watermark (hash)   ARGV[1] the watermark
-- Returns { '1', last } if the script changed the stream, else { '0', last }. last is the last id
-- that the stream had generated before the call ('0-0' if there was no stream). If the script
-- changes the stream, it also sets "lost" in the copy to the current time in ms.
local function less(a, b)
  local ams, aseq = string.match(a, '^(%d+)-(%d+)$')
  local bms, bseq = string.match(b, '^(%d+)-(%d+)$')
  if tonumber(ams) ~= tonumber(bms) then return tonumber(ams) < tonumber(bms) end
  if #aseq ~= #bseq then return #aseq < #bseq end -- a sequence may exceed a double's precision, so compare as text
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
if last == '0-0' then -- XSETID needs a stream: create an empty one
  redis.call('XADD', KEYS[1], 'MAXLEN', '=', 0, ARGV[1], 'lifted', '1')
else
  redis.call('XSETID', KEYS[1], ARGV[1])
end
local now = redis.call('TIME')
redis.call('HSET', KEYS[2], 'lost', string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)))
return { '1', last }
