-- ack.lua: acknowledges stored entries and returns the group's progress. The script is atomic, so
-- the reported progress is exact at the moment of the acknowledgement; entries delivered later have
-- higher ids.
-- KEYS[1] stream   parley:{P}:stream, parley:{P}:receipts   KEYS[2] mirror   parley:{P}:stored, or none
-- ARGV[1] group    ARGV[2..] entry ids; without ids it only reports the progress
-- returns { acknowledged, pending, lowest pending id or '', last delivered id, number of entries
-- added at or below the watermark or -1, 1 if it corrected entries-read else 0 }, or { 0 } if the
-- stream or the group does not exist
local acked = 0
for from = 2, #ARGV, 1000 do
  acked = acked + redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
local group = group_of(KEYS[1], ARGV[1])
if not group then return { 0 } end
local read = correct_read(KEYS[1], group, KEYS[2])
local corrected = 0
if read and read ~= group.read then
  redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], group.delivered, 'ENTRIESREAD', read)
  if group.read then corrected = 1 end -- otherwise Redis did not know the count
end
-- entries-read includes the pending entries. Acknowledged entries above the lowest pending one
-- count as stored although the watermark is below them. Their number is at most the number of
-- entries that the consumers are processing.
return { acked, group.pending, group.lowest or '', group.delivered, read and read - group.pending or -1, corrected }
