-- repair.lua: starts a new epoch in a channel whose newest writes Redis has lost. The new numbering
-- starts above all known seqs. A gap event in the channel's log contains the range of seqs that may
-- be lost.
--
-- KEYS[1] counter (hash seq, epoch)   KEYS[2] stream   KEYS[3] tail (list)   KEYS[4] topic
-- KEYS[5] copy of the watermark (hash); the script sets its "lost" to the current time in ms
-- ARGV[1] the epoch that the caller found in the counter ('' for none)
-- ARGV[2] the highest known seq of the channel   ARGV[3] the number of the newest known epoch
-- ARGV[4] a random string   ARGV[5] entry version   ARGV[6] channel id
-- ARGV[7] id of the gap event   ARGV[8] sender id of the gap event   ARGV[9] client id of the gap event
-- ARGV[10..13] the gap event's frame in four parts; its seq, from and to are inserted between them
-- ARGV[14] the number of the epoch that the caller has seen, -1 for none
-- Returns { seq, epoch }, the counter after the call. If another caller has repaired the channel
-- first, the script changes nothing and returns that caller's result.
--
-- The gap entry (from, to) gets the seq after `to`. If the counter is below the highest known seq,
-- the seqs above the counter, up to the highest known seq, are lost. Otherwise no seq is lost, but
-- an old epoch has reappeared.
local head = redis.call('HMGET', KEYS[1], 'seq', 'epoch')
local seq, epoch = tonumber(head[1]) or 0, head[2] or ''
if epoch ~= ARGV[1] then
  return { string.format('%.0f', seq), epoch }
end
-- The counter may have caught up since the caller read it. If so, nothing is lost.
local number = tonumber(string.match(epoch, '^(%d+)-') or '-1')
if head[1] and seq >= tonumber(ARGV[2]) and number >= tonumber(ARGV[14]) then
  return { string.format('%.0f', seq), epoch }
end
local to = math.max(seq, tonumber(ARGV[2]))
local from = math.max(math.min(seq + 1, to), to - 1048575) -- sync-service rejects a longer gap as damaged
local last = string.format('%.0f', to + 1)
local now = redis.call('TIME')
local n = math.max(now[1] * 1000 + math.floor(now[2] / 1000), ARGV[3] + 1)
epoch = string.format('%.0f-%s', n, ARGV[4])

local frame = ARGV[10] .. last .. ARGV[11] .. string.format('%.0f', from) .. ARGV[12] .. string.format('%.0f', to) .. ARGV[13]
local entry = redis.call('XADD', KEYS[2], '*', 'v', ARGV[5], 'channel_id', ARGV[6], 'seq', last, 'epoch', epoch,
  'kind', 'gap', 'id', ARGV[7], 'sender_id', ARGV[8], 'client_id', ARGV[9], 'payload', frame)
redis.call('HSET', KEYS[1], 'seq', last, 'epoch', epoch)
redis.call('HSET', KEYS[5], 'lost', string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)))

local item = ARGV[5] .. ' ' .. epoch .. ' ' .. last .. ' ' .. entry .. ' gap ' .. ARGV[8] .. '\n' .. frame
redis.pcall('RPUSH', KEYS[3], item)
redis.pcall('PERSIST', KEYS[3])
redis.pcall('SPUBLISH', KEYS[4], item)
return { last, epoch }
