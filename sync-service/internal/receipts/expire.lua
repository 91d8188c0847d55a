-- expire.lua: lets the cursors of channels expire of which every move is stored: the group has delivered
-- and acknowledged all of them. The next move takes the expiry away again. One that has an expiry
-- keeps it, so it counts from the last move.
-- KEYS[1] receipts   parley:{P}:receipts    KEYS[2..] cursors   parley:{P}:cursor:<channel>
-- ARGV[1] group    ARGV[2] expiry, ms    ARGV[3] most waiting entries to look at
-- ARGV[4..] the channels' ids, in the order of their keys
-- returns per channel 1 when it is done with, else 0: ask again
local answers, moving = {}, {}
local group = group_of(KEYS[1], ARGV[1])
local known = group ~= nil
if known then
  -- From the lowest pending entry on some may be acknowledged: they only put the expiry off.
  local from = group.lowest or ('(' .. group.delivered)
  local waiting = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[3])
  known = #waiting < tonumber(ARGV[3])
  for _, entry in ipairs(waiting) do
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'channel_id' then moving[entry[2][i + 1]] = true end
    end
  end
end
for k = 2, #KEYS do
  local done = known and not moving[ARGV[k + 2]]
  if done then redis.call('PEXPIRE', KEYS[k], ARGV[2], 'NX') end
  answers[k - 1] = done and 1 or 0
end
return answers
