-- append.lua: appends events to one channel atomically, in the given order. For each event it
-- assigns the next seq and writes the stream entry, the idempotency record, the removal mark and
-- the tail item. Then it publishes all the events.
--
-- KEYS[1] counter (hash seq, epoch)   KEYS[2] stream   KEYS[3] tail (list)   KEYS[4] topic
-- then two keys per event: its idempotency record, and the removal mark of the event's subject. The
-- subject is a user. The mark is set when the user leaves the channel and cleared when they rejoin.
-- ARGV[1] entry version   ARGV[2] channel id
-- ARGV[3] the epoch that the caller knows, or ''   ARGV[4] the highest seq that it has seen, or 0
-- then ten arguments per event: kind, id, sender id, client id, digest of the content, the part of
-- the frame before the seq and the part after it, sent_at, lifetime of the record (ms), and the
-- action on the removal mark: 'check' (refuse the event if the mark is set), 'set', 'clear' or ''
-- (none)
--
-- Returns { epoch, r1, r2, … } with one result per event:
--   'ok <seq>'                                   appended
--   'dup <digest> <id> <seq> <sent_at>'          appended before; this is its record
--   'conflict'                                   the client id was used for different content
--   'forbidden'                                  the subject has left the channel
-- or refuses all events with an error, before it writes anything:
--   UNSEEDED                 there is no counter; only seed.lua creates it
--   EPOCH <seq> <epoch>      the counter's epoch is not the caller's
--   STALE <seq> <epoch>      the counter is below the caller's seq: Redis has lost writes
--
-- Redis does not roll back scripts. So this script makes every check before its first write, and
-- writes durable data first. It writes the tail and publishes under pcall, because a failure there
-- loses nothing that cannot be rebuilt. Every key is declared, and all keys share a hash tag.
local PER_EVENT, FIRST = 10, 4

local head = redis.call('HMGET', KEYS[1], 'seq', 'epoch')
local seq, epoch = tonumber(head[1]), head[2]
if not seq or not epoch then
  return redis.error_reply('UNSEEDED no counter')
end
if ARGV[3] ~= '' and ARGV[3] ~= epoch then
  return redis.error_reply(string.format('EPOCH %.0f %s', seq, epoch))
end
if seq < tonumber(ARGV[4]) then
  return redis.error_reply(string.format('STALE %.0f %s', seq, epoch))
end

local results, accepted = { epoch }, {}
local records, marks = {}, {} -- changes made by earlier events in this call, by key
local count = (#ARGV - FIRST) / PER_EVENT
for i = 1, count do
  local a = FIRST + (i - 1) * PER_EVENT
  local digest, recordKey, markKey, mark = ARGV[a + 5], KEYS[3 + 2 * i], KEYS[4 + 2 * i], ARGV[a + 10]
  local record = records[recordKey] or redis.call('GET', recordKey)
  if record then
    if string.sub(record, 1, #digest + 1) == digest .. ' ' then
      results[i + 1] = 'dup ' .. record
    else
      results[i + 1] = 'conflict'
    end
  else
    local marked = marks[markKey]
    if marked == nil and mark == 'check' then
      marked = redis.call('EXISTS', markKey) == 1
      marks[markKey] = marked
    end
    if mark == 'check' and marked then
      results[i + 1] = 'forbidden'
    else
      seq = seq + 1
      local s = string.format('%.0f', seq)
      record = digest .. ' ' .. ARGV[a + 2] .. ' ' .. s .. ' ' .. ARGV[a + 8]
      records[recordKey] = record
      if mark == 'set' then marks[markKey] = true elseif mark == 'clear' then marks[markKey] = false end
      accepted[#accepted + 1] = { a, s, recordKey, record, markKey }
      results[i + 1] = 'ok ' .. s
    end
  end
end
if #accepted == 0 then
  return results
end

local items = {}
for n, e in ipairs(accepted) do
  local a, s = e[1], e[2]
  local kind, sender = ARGV[a + 1], ARGV[a + 3]
  local frame = ARGV[a + 6] .. s .. ARGV[a + 7]
  local entry = redis.call('XADD', KEYS[2], '*', 'v', ARGV[1], 'channel_id', ARGV[2], 'seq', s, 'epoch', epoch,
    'kind', kind, 'id', ARGV[a + 2], 'sender_id', sender, 'client_id', ARGV[a + 4], 'payload', frame)
  items[n] = ARGV[1] .. ' ' .. epoch .. ' ' .. s .. ' ' .. entry .. ' ' .. kind .. ' ' .. sender .. '\n' .. frame
end
redis.call('HSET', KEYS[1], 'seq', string.format('%.0f', seq))
for _, e in ipairs(accepted) do
  local a, mark = e[1], ARGV[e[1] + 10]
  redis.call('SET', e[3], e[4], 'PX', ARGV[a + 9])
  if mark == 'set' then
    redis.call('SET', e[5], '1', 'PX', 120000)
  elseif mark == 'clear' then
    redis.call('DEL', e[5])
  end
end

redis.pcall('RPUSH', KEYS[3], unpack(items))
redis.pcall('PERSIST', KEYS[3])
redis.pcall('SPUBLISH', KEYS[4], table.concat(items, '\n'))
return results
