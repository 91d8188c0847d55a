-- change.lua: adds the users who connected to a gateway, removes those who left, and publishes the
-- resulting change to the channel. It is atomic and may be repeated.
--  KEYS[1] the channel's topic           KEYS[2] the channel's cached count, see count.lua
--  KEYS[3] the gateway's online set      KEYS[4] the set of channels in which it has users
--  KEYS[5…] the online sets of the other live gateways
--  ARGV[1] channel id   ARGV[2] header of the published item   ARGV[3] the frame up to the count
--  ARGV[4] digest of the live gateways, including this one if it is live
--  ARGV[5] 'change', or 'drop' if the gateway is gone with all its users
--  ARGV[6] number of users who connected, followed by those users and then by the users who left
--
-- With up to LARGE users online, the ids of the users who connected and of those who left are
-- published. Above that, only the count across all gateways is published, at most once in
-- COUNT_EVERY ms, or once in LITTLE_EVERY ms if it has changed by less than 2%. In a large channel,
-- users connect and leave all the time, and publishing each change to thousands of users would cost
-- more than publishing their messages. To publish a deferred count, the caller calls again without
-- users. Returns { users in the gateway's set, users online,
--   ms after which to call again (0: nothing is pending) }.
local COUNT_EVERY, LITTLE_EVERY = 1000, 10000
local topic, cache, own, places = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local others, sum = {}, 0
for i = 5, #KEYS do
  local n = redis.call('SCARD', KEYS[i])
  if n > 0 then
    others[#others + 1], sum = KEYS[i], sum + n
  end
end

-- pick returns the users who are in the set `key` if wanted is 1, or not in it if wanted is 0.
local function pick(users, key, wanted)
  local picked = {}
  if #users == 0 then return picked end
  for i, is in ipairs(redis.call('SMISMEMBER', key, unpack(users))) do
    if is == wanted then picked[#picked + 1] = users[i] end
  end
  return picked
end

-- alone returns the users who are in no other gateway's set.
local function alone(users)
  for _, key in ipairs(others) do users = pick(users, key, 0) end
  return users
end

local came, went, unnamed = {}, {}, false
if ARGV[5] == 'drop' then
  if redis.call('SCARD', own) + sum <= LARGE then
    went = redis.call('SMEMBERS', own)
  else
    unnamed = true
  end
  redis.call('UNLINK', own)
else
  local first = 7 + tonumber(ARGV[6])
  for i = 7, first - 1 do came[#came + 1] = ARGV[i] end
  for i = first, #ARGV do went[#went + 1] = ARGV[i] end
  came, went = pick(came, own, 0), pick(went, own, 1)
  if #came > 0 then redis.call('SADD', own, unpack(came)) end
  if #went > 0 then redis.call('SREM', own, unpack(went)) end
end
local joined, left = alone(came), alone(went)

local size = redis.call('SCARD', own)
if size > 0 then
  redis.call('SADD', places, ARGV[1])
  others[#others + 1] = own
else
  redis.call('SREM', places, ARGV[1])
end
local n = count(cache, others, sum + size, ARGV[4], #joined - #left)

local function publish(names_joined, names_left)
  local function list(names)
    if #names == 0 then return '[]' end
    return '["' .. table.concat(names, '","') .. '"]'
  end
  redis.pcall('SPUBLISH', topic, ARGV[2] .. ARGV[3] .. string.format('%.0f', n) ..
    ',"joined":' .. list(names_joined) .. ',"left":' .. list(names_left) .. '}')
end

if n > LARGE then
  local published = redis.call('HMGET', cache, 'told', 'told_at')
  local before = tonumber(published[1] or 0)
  if before == n then return { size, n, 0 } end
  local every = math.abs(n - before) * 50 < n and LITTLE_EVERY or COUNT_EVERY
  if ARGV[5] == 'drop' then every = 0 end -- a caller that is shutting down does not call again
  local wait = every - (now - (published[2] or 0))
  if wait > 0 then return { size, n, math.min(wait, COUNT_EVERY) } end
  redis.call('HSET', cache, 'told', n, 'told_at', string.format('%.0f', now))
  publish({}, {})
elseif unnamed or #joined + #left > LARGE then
  publish({}, {})
elseif #joined + #left > 0 then
  publish(joined, left)
end
return { size, n, 0 }
