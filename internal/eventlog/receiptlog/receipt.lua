-- receipt.lua: moves the receipts (delivered and read positions) of a channel's members forward,
-- appends the changes to the receipts stream, and publishes them. Positions never move back: the
-- greater of the stored and the requested position is kept. So calls may be repeated and may arrive
-- out of order.
--
-- KEYS[1] counter (hash seq, epoch)   KEYS[2] receipts (hash user → "delivered:read")
-- KEYS[3] receipts stream   KEYS[4] topic
-- ARGV[1] entry version   ARGV[2] channel id   ARGV[3] the item to publish, up to its frame
-- ARGV[4] the maximum number of members in the frame; the frame is empty if more have moved
-- then four arguments per move: user, delivered, read, and '1' to skip the move if Redis does not
-- hold the receipt. The caller passes no more moves than one stream entry may hold.
--
-- Returns one "<result> <delivered>:<read>" per move, with the positions after the move. The result
-- is '1' if the receipt moved, '0' if it did not, and '-' if the move was skipped because Redis
-- does not hold the receipt. For a channel without a counter it returns an empty list and writes
-- nothing.
local FIRST, PER_MOVE = 4, 4

local last = tonumber(redis.call('HGET', KEYS[1], 'seq'))
if not last then
  return {}
end
local users = {}
for a = FIRST + 1, #ARGV, PER_MOVE do
  users[#users + 1] = ARGV[a]
end
local held = redis.call('HMGET', KEYS[2], unpack(users))

local results, changed, now = {}, {}, {} -- now: positions of this call's members, by user
for n, user in ipairs(users) do
  local a = FIRST + (n - 1) * PER_MOVE
  local at = now[user]
  if not at and not held[n] and ARGV[a + 4] == '1' then
    results[n] = '- 0:0'
  else
    if not at then
      local delivered, read = string.match(held[n] or '', '^(%d+):(%d+)$')
      at = { tonumber(delivered or 0), tonumber(read or 0) }
      now[user] = at
    end
    local read = math.max(at[2], math.min(tonumber(ARGV[a + 3]), last))
    local delivered = math.max(at[1], math.min(tonumber(ARGV[a + 2]), last), read)
    local moved = delivered > at[1] or read > at[2]
    if moved then
      at[1], at[2] = delivered, read
      if not at.changed then
        at.changed = true
        changed[#changed + 1] = user
      end
    end
    results[n] = string.format('%d %.0f:%.0f', moved and 1 or 0, delivered, read)
  end
end
if #changed == 0 then
  return results
end

local fields, moves = {}, {}
for i, user in ipairs(changed) do
  local position = string.format('%.0f:%.0f', now[user][1], now[user][2])
  fields[2 * i - 1], fields[2 * i] = user, position
  moves[i] = user .. ':' .. position
end
local text = table.concat(moves, ' ')
redis.call('XADD', KEYS[3], '*', 'v', ARGV[1], 'channel_id', ARGV[2], 'moves', text)
redis.call('HSET', KEYS[2], unpack(fields))
redis.call('PERSIST', KEYS[2]) -- sync-service sets an expiry once all the receipts are stored
redis.pcall('SPUBLISH', KEYS[4], ARGV[3] .. (#changed <= tonumber(ARGV[4]) and text or ''))
return results
