-- ack.lua: acknowledges stored entries and says how far the group has come. Atomic, so the answer holds
-- for the moment of the acknowledgement: whatever is delivered later has a higher id.
-- KEYS[1] stream   parley:{P}:stream, parley:{P}:receipts   KEYS[2] mirror   parley:{P}:stored, or none
-- ARGV[1] group    ARGV[2..] entry ids, none to ask only
-- returns { acknowledged, pending, lowest pending id or '', last delivered id, entries added up to the
-- watermark or -1, 1 if entries-read was wrong and is right now else 0 }, or { 0 } when the stream or the
-- group is gone
--
-- Redis neither replicates entries-read nor writes it to its log of commands: a promoted replica, or a
-- Redis that restarted after BGREWRITEAOF, has the one of an earlier time. It is wrong for sure when
-- nothing waits and it is not entries-added, and when it is below what the mirror has had. Then what waits
-- is counted, and entries-read is set by it. A count that would take too long is left for a later call.
local COUNT_AT_MOST = 10000
local acked = 0
for from = 2, #ARGV, 1000 do
  acked = acked + redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
local group = group_of(KEYS[1], ARGV[1])
if not group then return { 0 } end
local total, last = added_of(KEYS[1])
local read, mirrored = group.read, -1
if KEYS[2] then mirrored = tonumber(redis.call('HGET', KEYS[2], 'added') or '-1') end
if group.delivered == last or #redis.call('XRANGE', KEYS[1], '(' .. group.delivered, '+', 'COUNT', 1) == 0 then
  read = total
elseif not read or read - group.pending < mirrored then
  local waiting = count_waiting(KEYS[1], group, COUNT_AT_MOST)
  read = waiting and total - waiting
end
local rebased = 0
if read and read ~= group.read then
  redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], group.delivered, 'ENTRIESREAD', read)
  if group.read then rebased = 1 end -- else Redis did not know
end
-- entries-read counts the pending ones too. Those acknowledged above the lowest pending one are counted
-- as stored: at most what the consumers have in hand.
return { acked, group.pending, group.lowest or '', group.delivered, read and read - group.pending or -1, rebased }
