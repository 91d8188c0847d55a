-- expire.lua: sets an expiry on the receipts of channels whose receipts are all stored. A receipt
-- is stored if its entry has been delivered to the group and acknowledged. The next receipt removes
-- the expiry again. A key that already has an expiry keeps it, so the expiry counts from the last
-- receipt.
-- KEYS[1] receipts   parley:{P}:receipts    KEYS[2..] channels' receipts   parley:{P}:cursor:<channel>
-- ARGV[1] group    ARGV[2] expiry, ms    ARGV[3] maximum number of waiting entries to read
-- ARGV[4..] the ids of the channels, in the order of KEYS[2..]
-- returns, per channel, 1 if the expiry is set, else 0 (the caller must call again later)
local answers, moving = {}, {}
local group = group_of(KEYS[1], ARGV[1])
local known = group ~= nil
if known then
  -- Some entries above the lowest pending entry may already be acknowledged. Treating them as
  -- waiting only delays the expiry.
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
