-- ack.lua: acknowledges stored entries and says how far the group has come. Atomic, so the answer holds
-- for the moment of the acknowledgement: whatever is delivered later has a higher id.
-- KEYS[1] stream   parley:{P}:stream, parley:{P}:receipts   KEYS[2] mirror   parley:{P}:stored, or none
-- ARGV[1] group    ARGV[2..] entry ids, none to ask only
-- returns { acknowledged, pending, lowest pending id or '', last delivered id, entries added up to the
-- watermark or -1, 1 if entries-read was wrong and is right now else 0 }, or { 0 } when the stream or the
-- group is gone
local acked = 0
for from = 2, #ARGV, 1000 do
  acked = acked + redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
local group = group_of(KEYS[1], ARGV[1])
if not group then return { 0 } end
local read = right_read(KEYS[1], group, KEYS[2])
local rebased = 0
if read and read ~= group.read then
  redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], group.delivered, 'ENTRIESREAD', read)
  if group.read then rebased = 1 end -- else Redis did not know
end
-- entries-read counts the pending ones too. Those acknowledged above the lowest pending one are counted
-- as stored: at most what the consumers have in hand.
return { acked, group.pending, group.lowest or '', group.delivered, read and read - group.pending or -1, rebased }
